/* The floor of a handshake over TLS: OpenSSL alone, on the server's side.
 *
 * Serves one connection after the other: SSL_accept, read a request, answer with 101, write one
 * frame; no token check, no service around it. One thread in one epoll loop, as in a server.
 * Settings come from the environment: BENCH_PORT, BENCH_KEY, BENCH_CERTIFICATE.
 *
 * Build: gcc -O2 -o tls_floor tls_floor.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 16, EVENTS = 256 };

static SSL *connections[MOST];
/* The answer to the key of RFC 6455 section 1.3, which load.c sends, and a frame without a price. */
static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02{}";

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void drop(int fd) {
    SSL_free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

static void go_on(int fd) {
    char request[4096];
    SSL *ssl = connections[fd];
    int done = SSL_is_init_finished(ssl) ? 1 : SSL_accept(ssl);
    if (done == 1) {
        done = SSL_read(ssl, request, sizeof request);
        if (done > 4 && !memcmp(request, "GET ", 4)) SSL_write(ssl, answer, sizeof answer - 1);
    }
    if (done <= 0 && SSL_get_error(ssl, done) != SSL_ERROR_WANT_READ) drop(fd);
}

int main(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    const char *key = getenv("BENCH_KEY"), *certificate = getenv("BENCH_CERTIFICATE"), *port = getenv("BENCH_PORT");
    if (!context || !key || !certificate || !port) return 2;
    if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1) fail("certificate");
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) fail("key");
    int one = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int n = epoll_wait(ep, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listening) {
                go_on(fd);
                continue;
            }
            while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (fd >= MOST) fail("too many");
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connections[fd] = SSL_new(context);
                SSL_set_fd(connections[fd], fd);
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
