/* What every C server here has in common: sockets, the handshake, the clock, the frame.
 *
 * The including file defines `deliver`, which offers one frame to all subscribers, and calls
 * `run`. Settings come from the environment, as for every peer: BENCH_PORT, BENCH_RATE (ticks
 * a second), BENCH_SYMBOLS (symbols in a tick).
 *
 * Left out, since this is a floor and not a service: the token check, and the computation of
 * the handshake's answer. It is the constant that belongs to the key of RFC 6455 §1.3, which
 * is the one that load.c sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SUBSCRIBERS = 20000, MAX_FRAME = 1 << 17 };

struct subscriber {
    int fd;
    int rest; /* bytes of `partial` that must go out before the next frame */
    char *partial;
};

static struct subscriber subscribers[MAX_SUBSCRIBERS];
static int n_subscribers;
static char frame[MAX_FRAME];

static void deliver(const char *data, int size);

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long setting(const char *name, long fallback) {
    const char *value = getenv(name);
    return value ? atol(value) : fallback;
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Write one tick as a ready frame, as long as Ticker's own; return its size. */
static int make_frame(long symbols, long seq) {
    static const char *names[] = {"BTC-USD", "ETH-USD", "SOL-USD"};
    int64_t ms = clock_ns(CLOCK_REALTIME) / 1000000;
    char *payload = frame + 10, *at = payload;
    at += sprintf(at, "{\"type\":\"ticker\",\"data\":[");
    for (long i = 0; i < symbols; i++) {
        char name[16];
        if (symbols <= 3) strcpy(name, names[i]);
        else sprintf(name, "%c%c-A", (int)('A' + i / 26), (int)('A' + i % 26));
        at += sprintf(at, "%s{\"symbol\":\"%s\",\"price\":%ld.%02ld,\"timestamp\":%ld}", i ? "," : "", name,
                      42000 / (i + 1), (seq + i) % 100, (long)(ms / 1000));
    }
    at += sprintf(at, "],\"seq\":%ld,\"time\":%ld}", seq, (long)ms);
    long size = at - payload;
    int head = size < 126 ? 2 : size < 65536 ? 4 : 10;
    char *start = payload - head;
    start[0] = (char)0x81;
    start[1] = (char)(head == 2 ? size : head == 4 ? 126 : 127);
    for (int i = head - 1; i >= 2; i--, size >>= 8) start[i] = (char)size;
    memmove(frame, start, at - start);
    return (int)(at - start);
}

static void leave(struct subscriber *s) {
    close(s->fd);
    s->fd = -1;
}

/* Remember what the kernel did not take of a frame; it goes out first next time. */
static void keep_rest(struct subscriber *s, const char *data, int size) {
    if (!s->partial && !(s->partial = malloc(MAX_FRAME))) fail("malloc");
    memmove(s->partial, data, size);
    s->rest = size;
}

/* The naive way to send, with the care that cannot be left out. */
static void send_one(struct subscriber *s, const char *data, int size) {
    ssize_t sent;
    if (s->rest) {
        sent = send(s->fd, s->partial, s->rest, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) keep_rest(s, s->partial + sent, s->rest - (int)sent);
        if (s->rest) return; /* behind: this tick is skipped */
    }
    sent = send(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == size) return;
    if (sent > 0) keep_rest(s, data + sent, size - (int)sent);
    else if (errno != EAGAIN) leave(s);
}

static void answer(int fd) {
    static const char yes[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    char request[4096];
    ssize_t got = recv(fd, request, sizeof request, 0);
    if (got <= 0 || n_subscribers == MAX_SUBSCRIBERS || send(fd, yes, sizeof yes - 1, MSG_NOSIGNAL) < 0) {
        close(fd);
        return;
    }
    subscribers[n_subscribers++] = (struct subscriber){.fd = fd};
}

static void serve_until(int ep, int listener, int64_t until) {
    struct epoll_event events[256];
    for (;;) {
        int64_t left = until - clock_ns(CLOCK_MONOTONIC);
        if (left <= 0) return;
        struct timespec wait = {left / 1000000000, left % 1000000000};
        int n = epoll_pwait2(ep, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd, one = 1;
            if (fd != listener) {
                epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
                answer(fd);
            } else if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct epoll_event e = {EPOLLIN, {.fd = fd}};
                if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) fail("epoll_ctl");
            }
        }
    }
}

/* Tick on a schedule that does not drift; a tick whose turn has passed is skipped. */
static void run(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(setting("BENCH_PORT", 0))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) fail("listen");
    struct epoll_event e = {EPOLLIN, {.fd = listener}};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e)) fail("epoll_ctl");

    long symbols = setting("BENCH_SYMBOLS", 3), seq = 0;
    int64_t tick = 1000000000 / setting("BENCH_RATE", 100), due = clock_ns(CLOCK_MONOTONIC);
    for (;;) {
        due += tick;
        int64_t late = clock_ns(CLOCK_MONOTONIC) - due;
        if (late >= tick) due += late / tick * tick;
        serve_until(ep, listener, due);
        deliver(frame, make_frame(symbols, ++seq));
    }
}
