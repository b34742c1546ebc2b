/* A response fed to a parser as a connection does it, for tests. */
#ifndef OPF_TESTS_OUTCOME_H
#define OPF_TESTS_OUTCOME_H

#include <stdlib.h>
#include <string.h>

#include "http/h1.h"

#define MAX_HEADERS 4096
#define MAX_BODY 100000

/* What a connection would have come to. */
typedef struct outcome {
    opf_h1_state state;
    size_t left_over; /* bytes behind the response */
    opf_h1 h1;
    opf_message message;
} outcome;

/* Objects of a sink, with a count of those alive. */
static int objects;

static inline void *object_alloc(size_t size, uint8_t **data)
{
    *data = malloc(size);
    objects += *data != NULL;
    return *data;
}

static inline void object_free(void *object)
{
    objects--;
    free(object);
}

static const opf_sink sink = {.alloc = object_alloc, .free = object_free};

static inline void outcome_begin(outcome *o, bool head_request, const opf_sink *with_sink)
{
    memset(o, 0, sizeof(*o));
    opf_message_init(&o->message, with_sink);
    opf_h1_begin(&o->h1, &o->message, head_request, MAX_HEADERS, MAX_BODY);
    o->state = OPF_H1_MORE;
}

static inline void outcome_fini(outcome *o)
{
    opf_message_fini(&o->message);
}

/* Feeds a piece as a connection does: straight to its place what belongs into a body of known
 * length. Each feed gets a copy of its own, so that ASan sees who reads too far. */
static inline void feed(outcome *o, const char *data, size_t len)
{
    while (len && o->state == OPF_H1_MORE) {
        uint8_t *place;
        size_t size, used;
        if (opf_h1_wants(&o->h1, &place, &size)) {
            used = len < size ? len : size;
            memcpy(place, data, used);
            o->state = opf_h1_direct(&o->h1, used);
        } else {
            uint8_t *copy = malloc(len);
            memcpy(copy, data, len);
            o->state = opf_h1_feed(&o->h1, copy, len, &used);
            free(copy);
            if (o->state == OPF_H1_MORE)
                used = len;
        }
        data += used;
        len -= used;
    }
    o->left_over += len;
}

#endif
