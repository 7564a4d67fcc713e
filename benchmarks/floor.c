/* The floor: one ready frame, offered to every subscriber with send(2), in a plain loop.
 *
 * What this costs is what the kernel asks for a tick on a socket each; nothing that sends on
 * sockets one by one can be cheaper.
 *
 * Build: gcc -O2 -o floor floor.c
 */
#include "floor.h"

static void deliver(const char *data, int size) {
    for (int i = 0; i < n_subscribers; i++)
        if (subscribers[i].fd >= 0) send_one(&subscribers[i], data, size);
}

int main(void) {
    run();
}
