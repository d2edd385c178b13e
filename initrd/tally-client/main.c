/* The example client in C, and the tests of what C programs have: tally-client CASE ends with status 0, or
 * says what is wrong and ends with 1. */

#include "client.h"

static void say(const char *text)
{
    mello_write(text, strlen(text));
}

static void say_number(uint64_t number)
{
    char text[20];
    size_t at = sizeof text;

    do {
        text[--at] = "0123456789abcdef"[number % 16];
        number /= 16;
    } while (number > 0);
    mello_write(text + at, sizeof text - at);
}

void fail(const char *file, int line, const char *what, uint64_t found)
{
    say("# ");
    say(file);
    say(":0x");
    say_number((uint64_t)line);
    say(": ");
    say(what);
    say(" is 0x");
    say_number(found);
    say(" ");
    say(mach_error_string((kern_return_t)found));
    say("\n");
    exit(1);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"calls", case_calls},         {"digest", case_digest},     {"death", case_death},
    {"timeouts", case_timeouts},   {"large", case_large},       {"trailers", case_trailers},
    {"refusals", case_refusals},   {"ports", case_ports},       {"notifications", case_notifications},
    {"memory", case_memory},       {"names", case_names},       {"others", case_others},
    {"subsets", case_subsets},
    {"array", case_array},         {"spaces", case_spaces},     {"tasks", case_tasks},
    {"semaphores", case_semaphores}, {"threads", case_threads}, {"exceptions", case_exceptions},
    {"clocks", case_clocks},       {"info", case_info},         {"depressed", case_depressed},
};

static boolean_t same(const char *one, const char *other)
{
    return strlen(one) == strlen(other) && memcmp(one, other, strlen(one)) == 0;
}

int main(int argc, char **argv, char **environment)
{
    const char *chosen = argc > 1 ? argv[1] : "";

    if (same(chosen, "start")) {
        case_start(argc, argv, environment);
        return 3;
    }
    if (same(chosen, "restarted")) {
        case_interruption((const char *[]){"restarted-thread", "restarted-port"}, MACH_MSG_OPTION_NONE,
                          MACH_MSG_SUCCESS);
        return 0;
    }
    if (same(chosen, "interrupted")) {
        case_interruption((const char *[]){"interrupted-thread", "interrupted-port"}, MACH_RCV_INTERRUPT,
                          MACH_RCV_INTERRUPTED);
        return 0;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (same(chosen, cases[i].name)) {
            cases[i].run();
            return 0;
        }
    }
    say("usage: tally-client CASE\n");
    return 2;
}
