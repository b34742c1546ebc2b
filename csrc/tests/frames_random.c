#include "frames_random.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

enum { PADDED = 8, PRIORITISED = 0x20 };

uint32_t random_below(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % n;
}

/* Frames that are being written. */
typedef struct out {
    uint32_t *state;
    uint8_t *data;
    size_t len;
} out;

static uint32_t below(out *o, uint32_t n)
{
    return random_below(o->state, n);
}

static void put(out *o, const void *data, size_t len)
{
    memcpy(o->data + o->len, data, len);
    o->len += len;
}

static void put8(out *o, uint32_t number)
{
    o->data[o->len++] = (uint8_t)number;
}

static void put32(out *o, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        put8(o, number >> shift);
}

/* Begins a frame, whose length is filled in by end. Returns its place. */
static size_t begin(out *o, uint32_t type, uint32_t flags, uint32_t stream)
{
    size_t at = o->len;
    put(o, "\0\0\0", 3);
    put8(o, type);
    put8(o, flags);
    put32(o, stream);
    return at;
}

static void end(out *o, size_t at)
{
    size_t len = o->len - at - 9;
    o->data[at] = (uint8_t)(len >> 16);
    o->data[at + 1] = (uint8_t)(len >> 8);
    o->data[at + 2] = (uint8_t)len;
}

/* A literal that goes into no table; both lengths are below 127. */
static void put_field(out *o, const char *name, const char *value)
{
    put8(o, below(o, 4) ? 0 : 0x40);
    put8(o, (uint32_t)strlen(name));
    put(o, name, strlen(name));
    put8(o, (uint32_t)strlen(value));
    put(o, value, strlen(value));
}

static void put_status(out *o)
{
    static const char *const others[] = {"100", "103", "101", "302", "000", "999", "20x", ""};
    if (below(o, 5))
        put8(o, 0x88 + below(o, 7)); /* 200, 204, 206, 304, 400, 404, 500 */
    else
        put_field(o, ":status", others[below(o, sizeof(others) / sizeof(*others))]);
}

static void put_fields(out *o)
{
    static const char *const fields[][2] = {{"content-length", "0"},
                                            {"content-length", "5"},
                                            {"content-length", "100"},
                                            {"content-length", "-1"},
                                            {"content-length", "1000000000"},
                                            {"content-encoding", "gzip"},
                                            {"set-cookie", "a=b"},
                                            {"a", ""},
                                            {"", "nameless"},
                                            {"Upper", "x"},
                                            {"connection", "close"},
                                            {":status", "200"},
                                            {"transfer-encoding", "chunked"},
                                            {"custom", "value\nbroken"}};
    for (uint32_t n = below(o, 4); n; n--) {
        const char *const *field = fields[below(o, sizeof(fields) / sizeof(*fields))];
        if (below(o, 8))
            put_field(o, field[0], field[1]);
        else
            put8(o, 0x80 | (15 + below(o, 47))); /* of the static table */
    }
    if (!below(o, 500))
        put8(o, below(o, 256)); /* an index into nowhere, half a field ... */
    if (!below(o, 30)) {        /* too many */
        char value[120];
        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        for (int i = 0; i < 40; i++)
            put_field(o, "long", value);
    }
}

static void put_headers(out *o, uint32_t stream)
{
    uint32_t flags = below(o, 3) ? FRAME_END_HEADERS : 0;
    uint32_t padding = below(o, 8) ? 0 : 1 + below(o, 20);
    flags |= below(o, 5) ? 0 : FRAME_END_STREAM;
    flags |= padding ? PADDED : 0;
    size_t at = begin(o, FRAME_HEADERS, flags, stream);
    if (padding)
        put8(o, padding);
    if (below(o, 10))
        put_status(o);
    put_fields(o);
    for (uint32_t i = 0; i < padding; i++)
        put8(o, 0);
    end(o, at);
    if (flags & FRAME_END_HEADERS)
        return;
    for (uint32_t n = 1 + below(o, 3); n; n--) {
        at = begin(o, FRAME_CONTINUATION, n == 1 && below(o, 200) ? FRAME_END_HEADERS : 0, stream);
        put_fields(o);
        end(o, at);
    }
}

static void put_data(out *o, uint32_t stream)
{
    static const uint32_t sizes[] = {0, 1, 5, 100, 1000, 16000};
    uint32_t len = sizes[below(o, sizeof(sizes) / sizeof(*sizes))];
    uint32_t padding = below(o, 6) ? 0 : 1 + below(o, 255);
    uint32_t flags = (below(o, 4) ? 0U : FRAME_END_STREAM) | (padding ? PADDED : 0U);
    size_t at = begin(o, FRAME_DATA, flags, stream);
    if (padding)
        put8(o, padding);
    memset(o->data + o->len, 'd', len + padding);
    o->len += len + padding;
    end(o, at);
}

static void put_settings(out *o)
{
    static const uint32_t values[][4] = {{0, 100, 4096, 65535},        /* HEADER_TABLE_SIZE */
                                         {0, 0, 0, 0},                 /* ENABLE_PUSH */
                                         {0, 1, 5, 100},               /* MAX_CONCURRENT_STREAMS */
                                         {0, 1, 65535, 0x7fffffff},    /* INITIAL_WINDOW_SIZE */
                                         {16384, 16385, 65536, 70000}, /* MAX_FRAME_SIZE */
                                         {0, 1, 2, 0x80000000}};       /* and others */
    if (!below(o, 4)) {
        end(o, begin(o, FRAME_SETTINGS, FRAME_ACK, 0));
        return;
    }
    size_t at = begin(o, FRAME_SETTINGS, 0, 0);
    for (uint32_t n = below(o, 3); n; n--) {
        uint32_t id = 1 + below(o, 6);
        put8(o, 0);
        put8(o, below(o, 200) ? id : below(o, 10));
        put32(o, values[id - 1][below(o, 4)]);
    }
    end(o, at);
}

static void put_number(out *o, uint32_t type, uint32_t stream, uint32_t number)
{
    size_t at = begin(o, type, 0, stream);
    put32(o, number);
    end(o, at);
}

static void put_go_away(out *o, uint32_t last)
{
    static const uint32_t codes[] = {0, 0, 0, 1, 11, 77};
    size_t at = begin(o, FRAME_GOAWAY, 0, 0);
    put32(o, below(o, 3) ? last : 0x7fffffff);
    put32(o, codes[below(o, sizeof(codes) / sizeof(*codes))]);
    end(o, at);
}

static void put_odd(out *o, uint32_t stream)
{
    size_t at = begin(o, 2 + below(o, 14), below(o, 256), below(o, 2) ? stream : 0);
    for (uint32_t n = below(o, 12); n; n--)
        put8(o, below(o, 256));
    end(o, at);
}

static void put_ping(out *o)
{
    size_t at = begin(o, FRAME_PING, below(o, 4) ? 0 : FRAME_ACK, 0);
    put(o, "12345678", 8);
    end(o, at);
}

/* Changes a byte or two. */
static void break_some(out *o)
{
    for (uint32_t n = 1 + below(o, 2); n; n--)
        o->data[below(o, (uint32_t)o->len)] ^= (uint8_t)(1U << below(o, 8));
}

size_t frames_random(uint32_t *state, uint32_t last, uint8_t *room)
{
    static const uint32_t resets[] = {7, 7, 8, 0, 1, 5, 99};
    out o = {.state = state, .data = room};
    if (!last) {
        below(&o, 2) ? put_settings(&o) : put_ping(&o);
        return o.len;
    }
    /* the youngest streams are those that are open */
    uint32_t back = 2 * below(&o, below(&o, 10) ? 6 : 100);
    uint32_t stream = last > back ? last - back : 1;
    uint32_t what = below(&o, 500);
    if (what < 100)
        put_headers(&o, stream);
    else if (what < 130) /* may come before its headers */
        put_data(&o, stream);
    else if (what < 270)
        put_headers(&o, stream), put_data(&o, stream);
    else if (what < 300)
        put_number(&o, FRAME_RST_STREAM, stream, resets[below(&o, 7)]);
    else if (what < 340)
        put_number(&o, FRAME_WINDOW_UPDATE, below(&o, 2) ? stream : 0, 1 + below(&o, 100000));
    else if (what < 342)
        put_number(&o, FRAME_WINDOW_UPDATE, stream, below(&o, 2) * 0x7fffffff);
    else if (what < 380)
        put_settings(&o);
    else if (what < 410)
        put_ping(&o);
    else if (what < 415)
        put_go_away(&o, stream);
    else if (what < 417)
        put_odd(&o, stream);
    else
        put_headers(&o, stream), put_data(&o, stream), put_data(&o, stream);
    if (!below(&o, 300))
        break_some(&o);
    return o.len;
}

/* Sends what comes to its mind, and maybe is deaf for a while. */
static bool chatter(int fd, uint32_t *state, uint32_t last, uint8_t *room)
{
    for (uint32_t n = random_below(state, 5); n; n--) {
        size_t len = frames_random(state, last, room);
        if (send(fd, room, len, MSG_NOSIGNAL) != (ssize_t)len)
            return false;
    }
    if (!random_below(state, 100))
        usleep(random_below(state, 50) * 1000);
    return random_below(state, 500) != 0;
}

void frames_random_serve(int fd, uint32_t seed)
{
    uint32_t state = seed, last = 0;
    frame *f = malloc(sizeof(*f));
    uint8_t *room = malloc(FRAMES_RANDOM_MAX);
    if (f && room && frames_begin(fd, NULL, 0))
        while (frames_read(fd, f)) {
            if (f->type == FRAME_HEADERS)
                last = f->stream;
            if (!chatter(fd, &state, last, room))
                break;
        }
    free(f);
    free(room);
}
