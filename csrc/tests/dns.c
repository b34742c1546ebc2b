#include "dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 12
#define TRUNCATED 0x02
#define NXDOMAIN 3
#define CNAMES_MAX 8

/* A question, and the answer that is made of it. */
struct reply {
    char name[256];
    uint16_t type;
    bool over_tcp;
    uint8_t message[DNS_MESSAGE_MAX];
    size_t len;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(struct reply *reply, uint32_t n)
{
    reply->message[reply->len++] = (uint8_t)(n >> 8);
    reply->message[reply->len++] = (uint8_t)n;
}

static void put_name(struct reply *reply, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        reply->message[reply->len++] = (uint8_t)len;
        memcpy(reply->message + reply->len, name, len);
        reply->len += len;
        name += len + (name[len] == '.');
    }
    reply->message[reply->len++] = 0;
}

static void put_record(struct reply *reply, const struct dns_record *record, const char *name)
{
    size_t room = strlen(name) + strlen(record->data) + 32;
    if (sizeof(reply->message) - reply->len < room)
        return;
    put_name(reply, name);
    put16(reply, record->kind);
    put16(reply, 1);
    put16(reply, record->ttl >> 16);
    put16(reply, record->ttl);
    size_t len_at = reply->len;
    put16(reply, 0);
    if (record->kind == DNS_CNAME) {
        put_name(reply, record->data);
    } else {
        int family = record->kind == DNS_A ? AF_INET : AF_INET6;
        inet_pton(family, record->data, reply->message + reply->len);
        reply->len += family == AF_INET ? 4 : 16;
    }
    reply->message[len_at + 1] = (uint8_t)(reply->len - len_at - 2);
    reply->message[7]++;
}

/* Reads the question. Returns false for what is none. */
static bool parse(struct reply *reply, const uint8_t *message, size_t len)
{
    size_t at = HEADER, to = 0;
    if (len < HEADER + 5)
        return false;
    while (at < len && message[at]) {
        size_t label = message[at++];
        if (label > 63 || at + label > len || to + label + 1 >= sizeof(reply->name))
            return false;
        if (to)
            reply->name[to++] = '.';
        memcpy(reply->name + to, message + at, label);
        to += label;
        at += label;
    }
    if (at + 5 > len)
        return false;
    reply->name[to] = '\0';
    reply->type = get16(message + at + 1);
    reply->len = at + 5;
    memset(reply->message, 0, sizeof(reply->message));
    memcpy(reply->message, message, reply->len);
    reply->message[2] = 0x81; /* an answer, recursion was desired */
    reply->message[3] = 0x80; /* and is available */
    memset(reply->message + 6, 0, 6);
    reply->message[5] = 1;
    return true;
}

static bool is_for(const struct dns_record *record, const char *name)
{
    return strcasecmp(record->name, name) == 0;
}

static bool exists(const struct dns_server *server, const char *name)
{
    for (const struct dns_record *record = server->records; record->name; record++)
        if (is_for(record, name))
            return true;
    return false;
}

/* Completes the reply. Returns false if there is to be none. */
static bool answer(const struct dns_server *server, struct reply *reply)
{
    const char *name = reply->name, *wanted = name;
    for (int depth = 0; depth < CNAMES_MAX && name; depth++) {
        const char *next = NULL;
        wanted = exists(server, name) ? name : "*";
        if (!exists(server, wanted))
            reply->message[3] = (uint8_t)(0x80 | NXDOMAIN);
        for (const struct dns_record *record = server->records; record->name; record++) {
            if (!is_for(record, wanted))
                continue;
            if (record->kind == DNS_SILENT)
                return false;
            if (record->kind == DNS_RCODE)
                reply->message[3] = (uint8_t)(0x80 | record->ttl);
            if (record->kind == DNS_LONG && !reply->over_tcp) {
                reply->message[2] |= TRUNCATED;
                return true;
            }
            if (record->kind == DNS_CNAME)
                next = record->data;
            if (record->kind == DNS_CNAME || record->kind == reply->type)
                put_record(reply, record, name);
        }
        name = next;
    }
    return true;
}

static void answer_udp(struct dns_server *server, const struct dns_held *question)
{
    struct reply reply = {.over_tcp = false};
    struct sockaddr_in from;
    memcpy(&from, question->from, sizeof(from));
    if (parse(&reply, question->message, question->len) && answer(server, &reply))
        (void)!sendto(server->udp.fd, reply.message, reply.len, 0, (struct sockaddr *)&from,
                      sizeof(from));
}

static void on_udp(opf_watch *watch, uint32_t events)
{
    struct dns_server *server = OPF_CONTAINER(watch, struct dns_server, udp);
    struct dns_held question = {.len = 0};
    socklen_t from_len = sizeof(question.from);
    (void)events;
    ssize_t len = recvfrom(watch->fd, question.message, sizeof(question.message), 0,
                           (struct sockaddr *)(void *)question.from, &from_len);
    if (len < 0)
        return;
    question.len = (size_t)len;
    server->questions++;
    if (!server->hold)
        answer_udp(server, &question);
    else if (server->n_held < DNS_HELD_MAX)
        server->held[server->n_held++] = question;
}

static void on_tcp(opf_watch *watch, uint32_t events)
{
    struct dns_server *server = OPF_CONTAINER(watch, struct dns_server, tcp);
    struct reply reply = {.over_tcp = true};
    uint8_t in[DNS_MESSAGE_MAX], head[2];
    (void)events;
    /* what comes is short and whole on loopback; what isn't ends the connection */
    if (recv(watch->fd, head, 2, MSG_WAITALL) == 2 && get16(head) <= sizeof(in) &&
        recv(watch->fd, in, get16(head), MSG_WAITALL) == get16(head) &&
        parse(&reply, in, get16(head)) && answer(server, &reply)) {
        uint8_t out[2 + DNS_MESSAGE_MAX] = {(uint8_t)(reply.len >> 8), (uint8_t)reply.len};
        server->tcp_questions++;
        memcpy(out + 2, reply.message, reply.len);
        if (send(watch->fd, out, reply.len + 2, MSG_NOSIGNAL) == (ssize_t)(reply.len + 2))
            return;
    }
    int fd = watch->fd;
    opf_loop_unwatch(server->loop, watch);
    close(fd);
}

static void on_listener(opf_watch *watch, uint32_t events)
{
    struct dns_server *server = OPF_CONTAINER(watch, struct dns_server, listener);
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (server->tcp.fd >= 0 || opf_loop_watch(server->loop, &server->tcp, fd, EPOLLIN) != 0)
        close(fd);
}

static int bind_watch(struct dns_server *server, opf_watch *watch, int type, uint16_t *port)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&addr, len) != 0 ||
        (type == SOCK_STREAM && listen(fd, 8) != 0) ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0 ||
        opf_loop_watch(server->loop, watch, fd, EPOLLIN) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(addr.sin_port);
    return 0;
}

int dns_start(struct dns_server *server, opf_loop *loop, const struct dns_record *records)
{
    memset(server, 0, sizeof(*server));
    server->loop = loop;
    server->records = records;
    opf_watch_init(&server->udp, on_udp);
    opf_watch_init(&server->listener, on_listener);
    opf_watch_init(&server->tcp, on_tcp);
    /* a port that is free for one protocol may be taken for the other */
    for (int i = 0; i < 8; i++) {
        uint16_t port = 0;
        if (bind_watch(server, &server->udp, SOCK_DGRAM, &port) != 0)
            return -1;
        snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", port);
        if (bind_watch(server, &server->listener, SOCK_STREAM, &port) == 0)
            return 0;
        dns_stop(server);
    }
    return -1;
}

void dns_release(struct dns_server *server)
{
    server->hold = false;
    for (size_t i = 0; i < server->n_held; i++)
        answer_udp(server, &server->held[i]);
    server->n_held = 0;
}

static void end_watch(struct dns_server *server, opf_watch *watch)
{
    int fd = watch->fd;
    opf_loop_unwatch(server->loop, watch);
    if (fd >= 0)
        close(fd);
}

void dns_stop(struct dns_server *server)
{
    end_watch(server, &server->udp);
    end_watch(server, &server->listener);
    end_watch(server, &server->tcp);
}
