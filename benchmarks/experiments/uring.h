/* One io_uring, by its raw system calls: a whole fan-out in one io_uring_enter(2).
 *
 * `uring_send` offers the same bytes to many sockets and reports what became of each: bytes
 * sent, or minus an errno, as send(2) with MSG_DONTWAIT would. It returns when all are done,
 * so that the caller's buffer is its own again.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    int fd;
    unsigned entries, *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
} ring;

int uring_open(unsigned entries) {
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    ring.fd = (int)syscall(SYS_io_uring_setup, entries, &p);
    if (ring.fd < 0) return -errno;
    size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    if (sq_size > size) size = sq_size;
    char *both = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
    ring.sqes = mmap(NULL, p.sq_entries * sizeof *ring.sqes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                     ring.fd, IORING_OFF_SQES);
    if (both == MAP_FAILED || ring.sqes == MAP_FAILED) return -ENOMEM;
    ring.entries = p.sq_entries;
    ring.sq_tail = (unsigned *)(both + p.sq_off.tail);
    ring.sq_mask = (unsigned *)(both + p.sq_off.ring_mask);
    ring.sq_array = (unsigned *)(both + p.sq_off.array);
    ring.cq_head = (unsigned *)(both + p.cq_off.head);
    ring.cq_tail = (unsigned *)(both + p.cq_off.tail);
    ring.cq_mask = (unsigned *)(both + p.cq_off.ring_mask);
    ring.cqes = (struct io_uring_cqe *)(both + p.cq_off.cqes);
    return 0;
}

static int uring_batch(const int *fds, unsigned n, const void *data, unsigned size, int *results) {
    unsigned tail = *ring.sq_tail, head;
    for (unsigned i = 0; i < n; i++, tail++) {
        unsigned place = tail & *ring.sq_mask;
        struct io_uring_sqe *e = &ring.sqes[place];
        memset(e, 0, sizeof *e);
        e->opcode = IORING_OP_SEND;
        e->fd = fds[i];
        e->addr = (uintptr_t)data;
        e->len = size;
        e->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        e->user_data = i;
        ring.sq_array[place] = place;
    }
    __atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
    unsigned submitted = 0, reaped = 0;
    while (reaped < n) {
        long got = syscall(SYS_io_uring_enter, ring.fd, n - submitted, n - reaped, IORING_ENTER_GETEVENTS, NULL, 0);
        if (got < 0 && errno != EINTR) return -errno;
        if (got > 0) submitted += (unsigned)got;
        head = *ring.cq_head;
        for (unsigned end = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE); head != end; head++, reaped++) {
            struct io_uring_cqe *c = &ring.cqes[head & *ring.cq_mask];
            results[c->user_data] = c->res;
        }
        __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
    }
    return 0;
}

int uring_send(const int *fds, unsigned n, const void *data, unsigned size, int *results) {
    for (unsigned from = 0; from < n; from += ring.entries) {
        unsigned part = n - from < ring.entries ? n - from : ring.entries;
        int failed = uring_batch(fds + from, part, data, size, results + from);
        if (failed) return failed;
    }
    return 0;
}

/* The same contract with plain system calls, for comparison: one call from Python, n sends. */
int loop_send(const int *fds, unsigned n, const void *data, unsigned size, int *results) {
    for (unsigned i = 0; i < n; i++) {
        ssize_t sent = send(fds[i], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        results[i] = sent < 0 ? -errno : (int)sent;
    }
    return 0;
}
