/* A load generator for WebSocket servers that broadcast, cheap enough not to be what is measured.
 *
 * One thread, one epoll. It opens N connections at once, waits until all are upgraded, lets
 * them warm up, then measures between two marks: frames, bytes, the gaps between ticks, the
 * age of prices, and the CPU time of the server's processes, which it reads at the very marks
 * at which it counts. It prints one JSON object.
 *
 * Rules: every count and every wait is bounded; a tick is a text frame that begins with
 * {"type":"ticker" and whose last 64 bytes hold "seq": and "time": (ms since the epoch).
 * With --compressed, a compressed frame is a tick, and not looked into; with --http, which asks for
 * a response rather than a WebSocket, so is each line of it.
 *
 * Build: gcc -O2 -o load load.c            (with TLS: -DWITH_TLS ... -lssl -lcrypto)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { MAX_CONNECTIONS = 20000, MAX_SECONDS = 600, MAX_PIDS = 64, MAX_PROBES = 100000 };
enum { MAX_OPEN_PROBES = 512, BUFFER = 1 << 18, HEAD_ROOM = 2048, TAIL = 64 };
enum { GAP_BUCKETS = 50000, GAP_BUCKET_NS = 20000 }; /* 20 us each, up to 1 s */
#define SECOND 1000000000LL

enum state { CONNECTING, SHAKING, OPEN, CLOSED };

struct conn {
    int is_probe; /* first in both kinds: tells epoll's pointers apart */
    int fd;
    enum state state;
    int stalls, reading, failed;
    char *head; /* the handshake's answer, until it is complete */
    int head_len;
    uint8_t header[14]; /* of the frame being read */
    int header_len;
    int opcode;
    uint64_t left, size;
    uint8_t start[16], tail[TAIL];
    int tail_len;
    uint64_t ticks, frames, seq_skipped;
    int64_t last_arrival, last_seq, last_time_ms, oldest_ms, longest_gap;
    uint32_t *gaps;
    int64_t opened_at, cut_at, resumed_at, fresh_ns;
    uint64_t in_our_kernel, read_since; /* bytes, after a stall */
    int after, fresh_after, beyond;     /* ticks read since; until a fresh one; past our kernel */
    int64_t age_read[2], age_beyond[2]; /* of the first two, in read order and past our kernel */
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

struct probe {
    int is_probe;
    int fd, sent;
    int64_t began;
};

struct mark {
    int64_t at, server_cpu, own_cpu, machine_cpu;
    long sleeps;
    uint64_t ticks, frames, bytes;
    long rss;
};

static struct {
    const char *host, *port, *path, *probe_path;
    int n, stall, sample, rcvbuf, tls, probe_ms, poll_us, compressed, http;
    double warmup, seconds, linger, stall_for, open_timeout;
    char headers[HEAD_ROOM];
    int pids[MAX_PIDS], n_pids;
    char **messages;
    int n_messages;
} opt = {.path = "/", .sample = 32, .seconds = 5, .warmup = 1, .open_timeout = 30, .probe_ms = 50};

static struct conn *conns;
static struct sockaddr_in server;
static int ep, n_open, n_failed, n_ended, close_codes_1012, protocol_errors, probes_open;
static int measuring;
static int refused_status[600];
static uint64_t all_ticks, all_frames, all_bytes;
static int64_t wall_offset, probe_ns[MAX_PROBES], slowest_loop;
static int n_probes, probe_bad;
static struct probe probes[MAX_OPEN_PROBES];
static uint8_t buffer[BUFFER];
#ifdef WITH_TLS
static SSL_CTX *tls;
#endif

static void die(const char *what) {
    printf("{\"error\": \"%s: %s\"}\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void sync_wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    wall_offset = t.tv_sec * SECOND + t.tv_nsec - now();
}

static int64_t cpu_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* User + system time of a whole process, its threads that have ended included. */
static int64_t server_cpu(void) {
    int64_t sum = 0;
    for (int i = 0; i < opt.n_pids; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(opt.pids[i], &clock) == 0) sum += cpu_of(clock);
    }
    return sum;
}

static long server_rss(void) {
    long sum = 0;
    for (int i = 0; i < opt.n_pids; i++) {
        char name[64];
        long size, resident = 0;
        snprintf(name, sizeof name, "/proc/%d/statm", opt.pids[i]);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        if (fscanf(file, "%ld %ld", &size, &resident) == 2) sum += resident * sysconf(_SC_PAGESIZE);
        fclose(file);
    }
    return sum;
}

/* What all CPUs together were busy, time stolen by the hypervisor included. */
static int64_t machine_cpu(void) {
    long long user, nice, system, idle, iowait, irq, softirq, steal;
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return 0;
    int got = fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &iowait,
                     &irq, &softirq, &steal);
    fclose(file);
    return got == 8 ? (user + nice + system + irq + softirq + steal) * (SECOND / sysconf(_SC_CLK_TCK)) : 0;
}

static struct mark mark(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct mark){now(),           server_cpu(),    cpu_of(CLOCK_PROCESS_CPUTIME_ID),
                         machine_cpu(),   usage.ru_nvcsw,  all_ticks,
                         all_frames,      all_bytes,       server_rss()};
}

static ssize_t take(struct conn *c, void *into, size_t room) {
#ifdef WITH_TLS
    if (c->ssl) {
        int got = SSL_read(c->ssl, into, (int)room);
        if (got > 0) return got;
        int why = SSL_get_error(c->ssl, got);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) { errno = EAGAIN; return -1; }
        return 0;
    }
#endif
    return recv(c->fd, into, room, 0);
}

static ssize_t give(struct conn *c, const void *from, size_t size) {
#ifdef WITH_TLS
    if (c->ssl) return SSL_write(c->ssl, from, (int)size);
#endif
    return send(c->fd, from, size, MSG_NOSIGNAL);
}

static void drop(struct conn *c) {
    if (c->state == CLOSED) return;
    if (c->state == OPEN) n_ended++;
    else { n_failed++; c->failed = 1; }
    c->state = CLOSED;
    if (c->opened_at && !c->cut_at) c->cut_at = now();
    close(c->fd);
}

/* A masked frame with a mask of zeros: what RFC 6455 asks for, without the work. */
static void send_frame(struct conn *c, int opcode, const void *payload, size_t size) {
    uint8_t out[8 + 4096] = {0x80 | opcode};
    int at;
    if (size > 4096) return;
    if (size < 126) { out[1] = 0x80 | size; at = 2; }
    else { out[1] = 0x80 | 126; out[2] = size >> 8; out[3] = size; at = 4; }
    memset(out + at, 0, 4);
    memcpy(out + at + 4, payload, size);
    give(c, out, at + 4 + size);
}

static int64_t number_after(const uint8_t *text, int len, const char *name) {
    const uint8_t *at = memmem(text, len, name, strlen(name));
    if (!at) return -1;
    int64_t value = 0;
    for (at += strlen(name); at < text + len && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + *at - '0';
    return value;
}

static void after_a_stall(struct conn *c, int64_t age_ms, int64_t at) {
    if (c->after < 2) c->age_read[c->after] = age_ms;
    if (c->read_since > c->in_our_kernel) {
        if (c->beyond < 2) c->age_beyond[c->beyond] = age_ms;
        c->beyond++;
    }
    c->after++;
    if (!c->fresh_after && age_ms <= 1000) {
        c->fresh_after = c->after;
        c->fresh_ns = at - c->resumed_at;
    }
}

static void count_tick(struct conn *c, int64_t at) {
    all_ticks++;
    if (measuring) {
        c->ticks++;
        if (c->last_arrival) {
            int64_t gap = at - c->last_arrival;
            if (gap > c->longest_gap) c->longest_gap = gap;
            if (c->gaps) {
                int64_t bucket = gap / GAP_BUCKET_NS;
                c->gaps[bucket < GAP_BUCKETS ? bucket : GAP_BUCKETS - 1]++;
            }
        }
    }
    c->last_arrival = at;
}

static void tick(struct conn *c, const uint8_t *tail, int len, int64_t at) {
    int64_t seq = number_after(tail, len, "\"seq\":"), ms = number_after(tail, len, "\"time\":");
    int64_t age = (at + wall_offset) / 1000000 - ms;
    if (c->resumed_at) after_a_stall(c, age, at);
    if (measuring) {
        if (c->last_arrival) {
            /* Until this tick came, the newest price held was the last one's. */
            int64_t held = (at + wall_offset) / 1000000 - c->last_time_ms;
            if (held > c->oldest_ms) c->oldest_ms = held;
            if (seq > c->last_seq + 1) c->seq_skipped += seq - c->last_seq - 1;
        }
        if (seq < c->last_seq || ms < c->last_time_ms) protocol_errors++;
    }
    count_tick(c, at);
    c->last_seq = seq;
    c->last_time_ms = ms;
}

static void frame_done(struct conn *c, const uint8_t *chunk, int chunk_len, int64_t at) {
    all_frames++;
    c->frames++;
    uint8_t joined[2 * TAIL];
    const uint8_t *tail = chunk;
    int len = chunk_len;
    if (len > TAIL) { tail += len - TAIL; len = TAIL; }
    else if (c->tail_len) {
        memcpy(joined, c->tail, c->tail_len);
        memcpy(joined + c->tail_len, chunk, len);
        tail = joined;
        len += c->tail_len;
    }
    if (c->opcode == 9) send_frame(c, 10, tail, len < 125 ? len : 0);
    else if (c->opcode == 8) {
        int code = len >= 2 ? tail[0] << 8 | tail[1] : 1005;
        close_codes_1012 += code == 1012;
        send_frame(c, 8, tail, len >= 2 ? 2 : 0);
    } else if (c->header[0] & 0x40) count_tick(c, at);
    else if (c->size >= 16 && !memcmp(c->start, "{\"type\":\"ticker\"", 16)) tick(c, tail, len, at);
    c->header_len = c->tail_len = 0;
}

/* Lines in chunks (RFC 9112 section 7.1): a chunk's own line ends are CR LF, a message's are LF. */
static void parse_lines(struct conn *c, const uint8_t *data, size_t size, int64_t at) {
    const uint8_t *end;
    while (size && (end = memchr(data, '\n', size))) {
        if ((end > data ? end[-1] : c->opcode) == '}') count_tick(c, at);
        c->opcode = '\n';
        size -= end + 1 - data;
        data = end + 1;
    }
    if (size) c->opcode = data[size - 1]; /* what the next read goes on from */
}

static void parse(struct conn *c, const uint8_t *data, size_t size, int64_t at) {
    if (opt.http) {
        parse_lines(c, data, size, at);
        return;
    }
    while (size) {
        int need = 2;
        if (c->header_len >= 2)
            need = (c->header[1] & 127) == 127 ? 10 : (c->header[1] & 127) == 126 ? 4 : 2;
        if (c->header_len < need) {
            c->header[c->header_len++] = *data++;
            size--;
            c->read_since++;
            if (c->header_len < 2) continue;
            int kind = c->header[1] & 127;
            need = kind == 127 ? 10 : kind == 126 ? 4 : 2;
            if (c->header_len < need) continue;
            c->opcode = c->header[0] & 15;
            if ((c->header[0] & (opt.compressed ? 0xb0 : 0xf0)) != 0x80 || c->header[1] & 0x80) {
                protocol_errors++;
                drop(c);
                return;
            }
            c->size = kind < 126 ? kind : 0;
            for (int i = 2; i < need; i++) c->size = c->size << 8 | c->header[i];
            c->left = c->size;
            if (c->left) continue;
            frame_done(c, data, 0, at);
            continue;
        }
        size_t part = c->left < size ? c->left : size;
        uint64_t from = c->size - c->left;
        if (from < sizeof c->start)
            memcpy(c->start + from, data, part < sizeof c->start - from ? part : sizeof c->start - from);
        c->left -= part;
        c->read_since += part;
        if (c->left == 0) frame_done(c, data, (int)part, at);
        else if (part >= TAIL) {
            memcpy(c->tail, data + part - TAIL, TAIL);
            c->tail_len = TAIL;
        } else {
            int keep = c->tail_len + part > TAIL ? TAIL - (int)part : c->tail_len;
            memmove(c->tail, c->tail + c->tail_len - keep, keep);
            memcpy(c->tail + keep, data, part);
            c->tail_len = keep + (int)part;
        }
        if (c->state == CLOSED) return;
        data += part;
        size -= part;
    }
}

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event e = {events, {.ptr = c}};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e)) die("epoll_ctl");
}

static void begin_stall(struct conn *c) {
    c->reading = 0;
    watch(c, 0); /* errors and hang-ups are still told: that is how a cut-off is seen */
}

static void end_stall(struct conn *c) {
    int waiting = 0;
    if (c->state != OPEN) return;
    ioctl(c->fd, FIONREAD, &waiting);
    c->in_our_kernel = waiting;
    c->read_since = 0;
    c->resumed_at = now();
    c->reading = 1;
    watch(c, EPOLLIN);
}

static void opened(struct conn *c, int64_t at) {
    c->state = OPEN;
    c->opened_at = at;
    n_open++;
    if (opt.n_messages) {
        const char *message = opt.messages[(c - conns) % opt.n_messages];
        send_frame(c, 1, message, strlen(message));
    }
    if (c->stalls && !opt.stall_for) begin_stall(c);
}

static void shake(struct conn *c) {
#ifdef WITH_TLS
    if (opt.tls) {
        if (!c->ssl) {
            c->ssl = SSL_new(tls);
            SSL_set_fd(c->ssl, c->fd);
            SSL_set_connect_state(c->ssl);
        }
        int done = SSL_do_handshake(c->ssl);
        if (done != 1) {
            int why = SSL_get_error(c->ssl, done);
            if (why == SSL_ERROR_WANT_READ) watch(c, EPOLLIN);
            else if (why == SSL_ERROR_WANT_WRITE) watch(c, EPOLLOUT);
            else drop(c);
            return;
        }
    }
#endif
    char request[HEAD_ROOM + 512];
    const char *upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const char *deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n%s%s%s\r\n", opt.path,
                       opt.host, opt.port, opt.http ? "" : upgrade, opt.compressed ? deflate : "", opt.headers);
    if (give(c, request, len) != len) { drop(c); return; }
    c->state = SHAKING;
    c->reading = 1;
    watch(c, EPOLLIN);
}

static void read_head(struct conn *c, const uint8_t *data, size_t size, int64_t at) {
    size_t room = HEAD_ROOM - c->head_len;
    size_t part = size < room ? size : room;
    if (!c->head) c->head = malloc(HEAD_ROOM);
    if (!c->head) die("malloc");
    memcpy(c->head + c->head_len, data, part);
    c->head_len += (int)part;
    const char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
    if (!end) {
        if (c->head_len == HEAD_ROOM) drop(c);
        return;
    }
    int status = c->head_len > 12 ? atoi(c->head + 9) : 0;
    if (status != (opt.http ? 200 : 101)) {
        if (status > 0 && status < 600) refused_status[status]++;
        drop(c);
        return;
    }
    size_t used = part - (c->head_len - (end + 4 - c->head));
    free(c->head);
    c->head = NULL;
    opened(c, at);
    parse(c, data + used, size - used, at);
}

static void readable(struct conn *c) {
    for (;;) {
        ssize_t got = take(c, buffer, sizeof buffer);
        int64_t at = now();
        if (got <= 0) {
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(c);
            return;
        }
        all_bytes += got;
        if (c->state == SHAKING) read_head(c, buffer, got, at);
        else parse(c, buffer, got, at);
        if (c->state == CLOSED || !c->reading) return;
#ifdef WITH_TLS
        if (c->ssl) continue; /* OpenSSL may hold more than the socket shows */
#endif
        return; /* epoll tells if there is more */
    }
}

static int new_socket(int rcvbuf) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct linger reset = {1, 0}; /* no TIME_WAIT: thousands of ports are used over and over */
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (rcvbuf) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    return fd;
}

static void dial(struct conn *c) {
    int small = opt.stall ? c->stalls : 1; /* --rcvbuf is for those that stall, if any do */
    c->fd = new_socket(small ? opt.rcvbuf : 0);
    struct epoll_event e = {EPOLLOUT, {.ptr = c}};
    if (connect(c->fd, (void *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
}

static void start_probe(void) {
    if (n_probes + probes_open >= MAX_PROBES) return;
    for (int i = 0; i < MAX_OPEN_PROBES; i++) {
        struct probe *p = &probes[i];
        if (p->fd) continue;
        p->fd = new_socket(0);
        p->is_probe = 1;
        p->sent = 0;
        p->began = now();
        struct epoll_event e = {EPOLLOUT, {.ptr = p}};
        if (connect(p->fd, (void *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
        if (epoll_ctl(ep, EPOLL_CTL_ADD, p->fd, &e)) die("epoll_ctl");
        probes_open++;
        return;
    }
    probe_bad++; /* all places taken: the server answers none */
}

static void end_probe(struct probe *p, int good) {
    if (n_probes < MAX_PROBES) probe_ns[n_probes++] = now() - p->began;
    probe_bad += !good;
    close(p->fd);
    p->fd = 0;
    probes_open--;
}

static void probe_event(struct probe *p, uint32_t events) {
    if (!p->fd) return;
    if (!p->sent && events & EPOLLOUT) {
        char request[512];
        int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n",
                           opt.probe_path, opt.host, opt.port);
        if (send(p->fd, request, len, MSG_NOSIGNAL) != len) { end_probe(p, 0); return; }
        p->sent = 1;
        struct epoll_event e = {EPOLLIN, {.ptr = p}};
        if (epoll_ctl(ep, EPOLL_CTL_MOD, p->fd, &e)) die("epoll_ctl");
        return;
    }
    char answer[16] = {0};
    ssize_t got = recv(p->fd, answer, sizeof answer - 1, 0);
    if (got < 0 && errno == EAGAIN) return;
    end_probe(p, got >= 12 && !memcmp(answer + 9, "200", 3));
}

static void turn(int wait_ms) {
    struct epoll_event events[512];
    if (opt.poll_us && measuring) { /* asleep on a timer, so that no send has to wake us */
        struct timespec nap = {0, opt.poll_us * 1000L};
        nanosleep(&nap, NULL);
        wait_ms = 0;
    }
    int n = epoll_wait(ep, events, 512, wait_ms);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    int64_t began = now();
    sync_wall();
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        uint32_t what = events[i].events;
        if (c->is_probe) probe_event((struct probe *)c, what);
        else if (c->state == CLOSED) continue;
        else if (c->state == CONNECTING) {
            if (what & (EPOLLERR | EPOLLHUP)) drop(c);
            else shake(c);
        } else if (!c->reading) drop(c); /* an error or a hang-up while stalled */
        else readable(c);
    }
    int64_t took = now() - began;
    if (measuring && took > slowest_loop) slowest_loop = took;
}

/* Serve all connections until `until`, with probes if asked for. */
static void serve(int64_t until, int probing) {
    static int64_t next_probe;
    for (int64_t at = now(); at < until; at = now()) {
        int64_t wait = until - at;
        if (probing && opt.probe_path) {
            if (next_probe < at - SECOND) next_probe = at;
            while (next_probe <= at) {
                start_probe();
                next_probe += opt.probe_ms * 1000000LL;
            }
            if (next_probe - at < wait) wait = next_probe - at;
        }
        turn((int)(wait / 1000000) + 1);
    }
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_distribution(const char *name, int64_t *values, int n, double unit) {
    qsort(values, n, sizeof *values, by_value);
#define AT(part) (n ? values[(int)((n - 1) * (part))] / unit : 0.0)
    printf("\"%s\": {\"n\": %d, \"min\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, ", name, n,
           AT(0), AT(0.5), AT(0.99), AT(1));
#undef AT
}

static double gap_at(const uint64_t *gaps, uint64_t total, double part) {
    uint64_t seen = 0, wanted = (uint64_t)(total * part);
    for (int i = 0; i < GAP_BUCKETS; i++)
        if ((seen += gaps[i]) > wanted) return (i + 0.5) * GAP_BUCKET_NS / 1e6;
    return -1;
}

static void print_gaps(void) {
    static uint64_t pooled[GAP_BUCKETS], own[GAP_BUCKETS];
    uint64_t total = 0;
    double worst = 0;
    int64_t longest = 0;
    for (int i = 0; i < opt.n; i++) {
        struct conn *c = &conns[i];
        if (!c->stalls && c->longest_gap > longest) longest = c->longest_gap;
        if (!c->gaps) continue;
        uint64_t sum = 0;
        for (int b = 0; b < GAP_BUCKETS; b++) {
            own[b] = c->gaps[b];
            pooled[b] += c->gaps[b];
            sum += c->gaps[b];
        }
        total += sum;
        double p99 = sum ? gap_at(own, sum, 0.99) : 0;
        if (p99 > worst) worst = p99;
    }
    printf("\"gap_ms\": {\"n\": %lu, \"p50\": %.2f, \"p99\": %.2f, \"p99_worst_subscriber\": %.2f, \"max\": %.2f}, ",
           total, total ? gap_at(pooled, total, 0.5) : 0, total ? gap_at(pooled, total, 0.99) : 0, worst,
           longest / 1e6);
}

static void report(struct mark begin, struct mark end, int64_t dialled, int64_t ready, int64_t shake_cpu,
                   int64_t shake_server_cpu) {
    double seconds = (end.at - begin.at) / 1e9, slowest = 0, fastest = 0;
    int64_t *values = calloc(opt.n + 1, sizeof *values);
    uint64_t skipped = 0, healthy_ticks = 0;
    int healthy = 0, n = 0;
    if (!values) die("calloc");
    for (int i = 0; i < opt.n; i++) {
        struct conn *c = &conns[i];
        if (c->stalls || c->failed) continue;
        double rate = c->ticks / seconds;
        if (!healthy || rate < slowest) slowest = rate;
        if (rate > fastest) fastest = rate;
        skipped += c->seq_skipped;
        healthy_ticks += c->ticks;
        healthy++;
        int64_t held = (end.at + wall_offset) / 1000000 - c->last_time_ms;
        values[n++] = held > c->oldest_ms ? held : c->oldest_ms;
    }
    uint64_t ticks = end.ticks - begin.ticks;
    int64_t others = end.machine_cpu - begin.machine_cpu - (end.server_cpu - begin.server_cpu) -
                     (end.own_cpu - begin.own_cpu);
    printf("{\"connections\": %d, \"opened\": %d, \"failed\": %d, \"ended\": %d, \"closed_1012\": %d, "
           "\"protocol_errors\": %d, ",
           opt.n, n_open, n_failed, n_ended, close_codes_1012, protocol_errors);
    for (int i = 0; i < 600; i++)
        if (refused_status[i]) printf("\"refused_%d\": %d, ", i, refused_status[i]);
    printf("\"handshake_seconds\": %.4f, \"handshakes_per_second\": %.1f, \"handshake_load_cpu_share\": %.3f, ",
           (ready - dialled) / 1e9, n_open / ((ready - dialled) / 1e9), (double)shake_cpu / (ready - dialled));
    printf("\"handshake_server_us\": %.2f, ", n_open ? shake_server_cpu / 1e3 / n_open : 0.0);
    printf("\"seconds\": %.4f, \"ticks\": %lu, \"frames\": %lu, \"bytes\": %lu, \"server_cpu_seconds\": %.4f, "
           "\"server_cpu_share\": %.4f, \"us_per_tick\": %.4f, \"load_cpu_share\": %.4f, \"slowest_loop_ms\": %.2f, ",
           seconds, ticks, end.frames - begin.frames, end.bytes - begin.bytes,
           (end.server_cpu - begin.server_cpu) / 1e9, (double)(end.server_cpu - begin.server_cpu) / (end.at - begin.at),
           ticks ? (end.server_cpu - begin.server_cpu) / 1e3 / ticks : 0.0,
           (double)(end.own_cpu - begin.own_cpu) / (end.at - begin.at), slowest_loop / 1e6);
    /* Others disturb; and a server that wakes the load for each frame pays for the waking. */
    printf("\"others_cpu_share\": %.3f, \"load_sleeps_per_tick\": %.3f, ",
           others > 0 ? (double)others / (end.at - begin.at) : 0.0, /* counted in clock ticks: roughly */
           ticks ? (double)(end.sleeps - begin.sleeps) / ticks : 0.0);
    printf("\"rss_begin\": %ld, \"rss_end\": %ld, ", begin.rss, end.rss);
    printf("\"rate\": {\"subscribers\": %d, \"mean\": %.3f, \"min\": %.3f, \"max\": %.3f, \"fairness\": %.4f}, "
           "\"ticks_skipped\": %lu, ",
           healthy, healthy ? healthy_ticks / seconds / healthy : 0, slowest, fastest,
           fastest ? slowest / fastest : 0, skipped);
    print_gaps();
    print_distribution("oldest_price_ms", values, n, 1);
    if (opt.probe_path) {
        printf("\"probes_bad\": %d, \"probes_unanswered\": %d, ", probe_bad, probes_open);
        for (int i = 0; i < MAX_OPEN_PROBES; i++) /* who still waits has waited so long at least */
            if (probes[i].fd && n_probes < MAX_PROBES) probe_ns[n_probes++] = now() - probes[i].began;
        print_distribution("probe_ms", probe_ns, n_probes, 1e6);
    }
    if (opt.stall && !opt.stall_for) {
        n = 0;
        for (int i = 0; i < opt.n; i++)
            if (conns[i].stalls && conns[i].cut_at) values[n++] = conns[i].cut_at - conns[i].opened_at;
        print_distribution("cut_off_seconds", values, n, 1e9);
    }
    if (opt.stall && opt.stall_for) {
#define EACH(field, unit)                                                                   \
    n = 0;                                                                                  \
    for (int i = 0; i < opt.n; i++)                                                         \
        if (conns[i].stalls && conns[i].resumed_at) values[n++] = conns[i].field;           \
    print_distribution("resumed_" #field, values, n, unit)
        EACH(in_our_kernel, 1);
        EACH(age_read[0], 1);
        EACH(age_read[1], 1);
        EACH(beyond, 1);
        EACH(age_beyond[0], 1);
        EACH(age_beyond[1], 1);
        EACH(fresh_after, 1);
        EACH(fresh_ns, 1e6);
    }
    printf("\"stalled\": %d}\n", opt.stall);
}

static void read_messages(const char *name) {
    FILE *file = fopen(name, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    if (!file) die(name);
    opt.messages = calloc(MAX_CONNECTIONS, sizeof *opt.messages);
    while (opt.n_messages < MAX_CONNECTIONS && (len = getline(&line, &room, file)) > 0) {
        if (line[len - 1] == '\n') line[len - 1] = 0;
        opt.messages[opt.n_messages++] = strdup(line);
    }
    free(line);
    fclose(file);
}

static int usage(void) {
    fputs("usage: load HOST PORT [--path P] [--connections N] [--header 'Name: value']...\n"
          "  [--warmup S] [--seconds S] [--linger S] [--pid PID]... [--sample K]\n"
          "  [--stall M [--stall-for S]] [--rcvbuf BYTES] [--message-file F]\n"
          "  [--probe PATH [--probe-ms N]] [--open-timeout S] [--tls] [--poll-us N]\n"
          "  [--compressed] [--http]\n", stderr);
    return 2;
}

static int options(int argc, char **argv) {
    static struct option names[] = {{"path", 1, 0, 'p'},      {"connections", 1, 0, 'n'}, {"header", 1, 0, 'h'},
                                    {"warmup", 1, 0, 'w'},    {"seconds", 1, 0, 's'},     {"linger", 1, 0, 'l'},
                                    {"pid", 1, 0, 'P'},       {"sample", 1, 0, 'k'},      {"stall", 1, 0, 'm'},
                                    {"stall-for", 1, 0, 'f'}, {"rcvbuf", 1, 0, 'r'},      {"message-file", 1, 0, 'M'},
                                    {"probe", 1, 0, 'q'},     {"probe-ms", 1, 0, 'i'},    {"open-timeout", 1, 0, 'o'},
                                    {"tls", 0, 0, 't'},       {"poll-us", 1, 0, 'u'},     {"compressed", 0, 0, 'c'},
                                    {"http", 0, 0, 'H'},      {0, 0, 0, 0}};
    int which;
    opt.n = 1;
    while ((which = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (which) {
        case 'p': opt.path = optarg; break;
        case 'n': opt.n = atoi(optarg); break;
        case 'h':
            if (strlen(opt.headers) + strlen(optarg) + 3 > sizeof opt.headers) return usage();
            strcat(strcat(opt.headers, optarg), "\r\n");
            break;
        case 'w': opt.warmup = atof(optarg); break;
        case 's': opt.seconds = atof(optarg); break;
        case 'l': opt.linger = atof(optarg); break;
        case 'P': if (opt.n_pids < MAX_PIDS) opt.pids[opt.n_pids++] = atoi(optarg); break;
        case 'k': opt.sample = atoi(optarg); break;
        case 'm': opt.stall = atoi(optarg); break;
        case 'f': opt.stall_for = atof(optarg); break;
        case 'r': opt.rcvbuf = atoi(optarg); break;
        case 'M': read_messages(optarg); break;
        case 'q': opt.probe_path = optarg; break;
        case 'i': opt.probe_ms = atoi(optarg); break;
        case 'o': opt.open_timeout = atof(optarg); break;
        case 't': opt.tls = 1; break;
        case 'c': opt.compressed = 1; break;
        case 'H': opt.http = 1; break;
        case 'u': opt.poll_us = atoi(optarg); break;
        default: return usage();
        }
    }
    if (argc - optind != 2 || opt.n < 1 || opt.n > MAX_CONNECTIONS || opt.stall > opt.n || opt.probe_ms < 1 || opt.poll_us < 0 || opt.poll_us > 100000 ||
        opt.warmup + opt.seconds + opt.linger + opt.open_timeout > MAX_SECONDS || opt.stall_for >= opt.seconds + 0.001)
        return usage();
    opt.host = argv[optind];
    opt.port = argv[optind + 1];
#ifdef WITH_TLS
    if (opt.tls) {
        tls = SSL_CTX_new(TLS_client_method()); /* the certificate is made for the run: not checked */
        if (!tls) die("SSL_CTX_new");
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
    }
#else
    if (opt.tls) { fputs("built without TLS\n", stderr); return 2; }
#endif
    return 0;
}

int main(int argc, char **argv) {
    if (options(argc, argv)) return 2;
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(opt.port));
    if (inet_pton(AF_INET, opt.host, &server.sin_addr) != 1) return usage();
    conns = calloc(opt.n, sizeof *conns);
    ep = epoll_create1(0);
    if (!conns || ep < 0) die("setup");
    sync_wall();

    int healthy = opt.n - opt.stall, every = opt.sample > 0 && healthy > opt.sample ? healthy / opt.sample : 1;
    for (int i = 0; i < opt.n; i++) {
        conns[i].stalls = i >= healthy;
        if (!conns[i].stalls && opt.sample > 0 && i % every == 0 && !(conns[i].gaps = calloc(GAP_BUCKETS, sizeof(uint32_t))))
            die("calloc");
    }
    int64_t dialled = now(), shake_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID), shake_server_cpu = server_cpu();
    for (int i = 0; i < opt.n; i++) dial(&conns[i]);
    int64_t patience = now() + (int64_t)(opt.open_timeout * SECOND);
    while (n_open + n_failed < opt.n && now() < patience) turn(100);
    int64_t ready = now();
    shake_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - shake_cpu;
    shake_server_cpu = server_cpu() - shake_server_cpu;

    serve(now() + (int64_t)(opt.warmup * SECOND), 0);
    struct mark begin = mark();
    measuring = 1;
    int64_t until = begin.at + (int64_t)(opt.seconds * SECOND);
    if (opt.stall_for) {
        for (int i = healthy; i < opt.n; i++)
            if (conns[i].state == OPEN) begin_stall(&conns[i]);
        serve(begin.at + (int64_t)(opt.stall_for * SECOND), 1);
        for (int i = healthy; i < opt.n; i++) end_stall(&conns[i]);
    }
    serve(until, 1);
    struct mark end = mark();
    measuring = 0;
    serve(now() + (int64_t)(opt.linger * SECOND), 0);
    report(begin, end, dialled, ready, shake_cpu, shake_server_cpu);
    return n_open ? 0 : 1;
}
