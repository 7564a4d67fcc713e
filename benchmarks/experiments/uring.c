/* Experiment: the floor, with all sends of a tick in one io_uring_enter(2).
 *
 * With -DHELPER it is a library instead, for senders.py: `uring_send` and `loop_send`.
 *
 * Build: gcc -O2 -o uring experiments/uring.c
 *        gcc -O2 -DHELPER -shared -fPIC -o helper.so experiments/uring.c
 */
#ifndef HELPER
#include "../floor.h"
#endif

#include "uring.h"

#ifndef HELPER
static int fds[MAX_SUBSCRIBERS], results[MAX_SUBSCRIBERS], who[MAX_SUBSCRIBERS];

static void deliver(const char *data, int size) {
    int n = 0;
    for (int i = 0; i < n_subscribers; i++) {
        struct subscriber *s = &subscribers[i];
        if (s->rest) send_one(s, data, size);
        else if (s->fd >= 0) {
            fds[n] = s->fd;
            who[n++] = i;
        }
    }
    if (uring_send(fds, (unsigned)n, data, (unsigned)size, results)) fail("uring_send");
    for (int i = 0; i < n; i++) {
        struct subscriber *s = &subscribers[who[i]];
        if (results[i] > 0 && results[i] < size) keep_rest(s, data + results[i], size - results[i]);
        else if (results[i] < 0 && results[i] != -EAGAIN) leave(s);
    }
}

int main(void) {
    if (uring_open(512)) fail("io_uring_setup");
    run();
}
#endif
