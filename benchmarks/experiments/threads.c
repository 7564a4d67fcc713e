/* Experiment: the floor, with half of the subscribers sent to from a second thread.
 *
 * Build: gcc -O2 -pthread -o threads experiments/threads.c
 */
#include "../floor.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t begin, done;
static const char *shared_data;
static int shared_size;

static void send_part(int from, int to) {
    for (int i = from; i < to; i++)
        if (subscribers[i].fd >= 0) send_one(&subscribers[i], shared_data, shared_size);
}

static void *second(void *unused) {
    for (;;) {
        while (sem_wait(&begin)) {}
        send_part(n_subscribers / 2, n_subscribers);
        sem_post(&done);
    }
    return unused;
}

static void deliver(const char *data, int size) {
    shared_data = data;
    shared_size = size;
    sem_post(&begin);
    send_part(0, n_subscribers / 2);
    while (sem_wait(&done)) {}
}

int main(void) {
    pthread_t thread;
    if (sem_init(&begin, 0, 0) || sem_init(&done, 0, 0) || pthread_create(&thread, NULL, second, NULL))
        fail("threads");
    run();
}
