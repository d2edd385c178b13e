/* What a program has of the system beside Mach. */
#ifndef MELLO_MELLO_H
#define MELLO_MELLO_H

#include <mach/types.h>
#include <mello/interfaces.h>

/* Ends the program; the low 8 bits are its status. */
_Noreturn void exit(int status);
/* Ends the program with an exception, which the supervisor reports. */
_Noreturn void abort(void);

/* The right that the manifest calls name, one more reference; MACH_PORT_NULL when there is none. */
mach_port_t mello_right(const char *name);
/* Writes to the program's console; answers how many bytes it took. */
size_t mello_write(const void *bytes, size_t size);

/* A thread that runs body(argument), with a stack of 256 KiB and all that the library needs; it ends when body
 * returns. */
kern_return_t mello_thread_start(void (*body)(void *), void *argument);
/* Gives the calling thread, made by thread_create, what the library needs. It stays until the program ends. */
kern_return_t mello_thread_attach(void);

#endif
