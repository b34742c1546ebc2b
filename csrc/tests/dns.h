/*
 * A scripted name server on 127.0.0.1, UDP and TCP, for tests of what asks it. It lives in the loop
 * of the test, so that nothing happens at the same time as something else: an answer is on its way
 * only after a call of opf_loop_poll.
 */
#ifndef OPF_TESTS_DNS_H
#define OPF_TESTS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

enum dns_kind {
    DNS_A = 1,       /* data: the address */
    DNS_CNAME = 5,   /* data: the name, whose records are given too */
    DNS_AAAA = 28,   /* data: the address */
    DNS_RCODE = 256, /* the answer is the code in ttl */
    DNS_SILENT,      /* there is no answer */
    DNS_LONG         /* over UDP the answer is cut off */
};

/* A name without records does not exist; the name "*" is for all that have none. */
struct dns_record {
    const char *name; /* NULL ends the list */
    enum dns_kind kind;
    uint32_t ttl;
    const char *data;
};

#define DNS_HELD_MAX 16
#define DNS_MESSAGE_MAX 512

struct dns_held {
    uint8_t message[DNS_MESSAGE_MAX];
    size_t len;
    uint8_t from[32]; /* struct sockaddr_in */
};

struct dns_server {
    opf_loop *loop;
    opf_watch udp;
    opf_watch listener;
    opf_watch tcp; /* one connection at a time */
    const struct dns_record *records;
    char address[32];   /* "127.0.0.1:port" */
    unsigned questions; /* by UDP */
    unsigned tcp_questions;
    bool hold; /* keep questions instead of answering them */
    size_t n_held;
    struct dns_held held[DNS_HELD_MAX];
};

/* Starts a server with the given records, which must outlive it. Returns 0 or -1. */
int dns_start(struct dns_server *server, opf_loop *loop, const struct dns_record *records);

/* Answers the questions that were held, and those that come from now on. */
void dns_release(struct dns_server *server);

/* Closes the server's descriptors. */
void dns_stop(struct dns_server *server);

#endif
