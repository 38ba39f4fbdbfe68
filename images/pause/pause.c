/* The first process of a pod's sandbox: it keeps the namespaces alive and ends on SIGTERM. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; } /* SA_NOCLDWAIT does the reaping. */
int main(void) {
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = end}, NULL);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = reap, .sa_flags = SA_NOCLDWAIT}, NULL);
    for (;;) pause();
}
