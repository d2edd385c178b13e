/* What the cases have in common: checks, and messages of words. */
#ifndef CLIENT_H
#define CLIENT_H

#include <mach/mach.h>
#include <mello/mello.h>
#include <servers/bootstrap.h>
#include <string.h>

/* Ends the program with status 1, and says why. */
_Noreturn void fail(const char *file, int line, const char *what, uint64_t found);

#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE_NAME__, __LINE__, #condition, 0))
#define EQUAL(found, expected) equal(__FILE_NAME__, __LINE__, #found, (uint64_t)(found), (uint64_t)(expected))
#define WORKS(call) EQUAL(call, KERN_SUCCESS)

static inline void equal(const char *file, int line, const char *what, uint64_t found, uint64_t expected)
{
    if (found != expected) {
        fail(file, line, what, found);
    }
}

/* A message of words as it is received, with room for any trailer. */
typedef struct {
    mach_msg_words_t message;
    mach_msg_max_trailer_t trailer;
} received_t;

/* A new port with a send right under the same name. */
mach_port_t new_port(void);
/* The server, started when it is not there. */
mach_port_t tally(void);
/* A message of words to a port, made with the right's disposition. */
mach_msg_words_t words_to(mach_port_t to, mach_msg_type_name_t how, mach_msg_id_t id);
/* Sends one. */
void send_words(mach_port_t to, mach_msg_id_t id, uint64_t word);
/* Receives what is there already. */
mach_msg_return_t poll(mach_port_t port, void *buffer, mach_msg_size_t size);
/* A call of one word, as MIG's stubs make it: the code, and the result's first word. */
kern_return_t call(mach_port_t server, mach_msg_id_t id, uint64_t argument, uint64_t *result);

/* The cases. */
void case_start(int argc, char **argv, char **environment);
void case_calls(void);
void case_others(void);
void case_digest(void);
void case_death(void);
void case_timeouts(void);
void case_large(void);
void case_trailers(void);
void case_refusals(void);
void case_array(void);
void case_ports(void);
void case_notifications(void);
void case_memory(void);
void case_names(void);
void case_subsets(void);
void case_spaces(void);
void case_tasks(void);
void case_semaphores(void);
void case_threads(void);
void case_exceptions(void);
void case_clocks(void);
void case_info(void);
void case_depressed(void);
/* The names are those under which others find its thread, and then the port that it receives on. */
void case_interruption(const char *names[2], mach_msg_option_t option, mach_msg_return_t expected);

#endif
