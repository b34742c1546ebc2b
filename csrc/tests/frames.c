#include "frames.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static bool receive(int fd, void *data, size_t len)
{
    return !len || recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static void put32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

bool frames_send(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *data, size_t len)
{
    uint8_t bytes[9 + (1 << 15)];
    if (len > sizeof(bytes) - 9)
        return false;
    put32(bytes, (uint32_t)len << 8);
    bytes[3] = type;
    bytes[4] = flags;
    put32(bytes + 5, stream);
    if (len)
        memcpy(bytes + 9, data, len);
    return send(fd, bytes, 9 + len, MSG_NOSIGNAL) == (ssize_t)(9 + len);
}

bool frames_send_number(int fd, uint8_t type, uint32_t stream, uint32_t number)
{
    uint8_t bytes[4];
    put32(bytes, number);
    return frames_send(fd, type, 0, stream, bytes, sizeof(bytes));
}

bool frames_go_away(int fd, uint32_t last, uint32_t code)
{
    uint8_t bytes[8];
    put32(bytes, last);
    put32(bytes + 4, code);
    return frames_send(fd, FRAME_GOAWAY, 0, 0, bytes, sizeof(bytes));
}

bool frames_begin(int fd, const void *settings, size_t len)
{
    char preface[sizeof(PREFACE) - 1];
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return receive(fd, preface, sizeof(preface)) &&
           memcmp(preface, PREFACE, sizeof(preface)) == 0 &&
           frames_send(fd, FRAME_SETTINGS, 0, 0, settings, len);
}

bool frames_read(int fd, frame *f)
{
    uint8_t head[9];
    if (!receive(fd, head, sizeof(head)))
        return false;
    f->len = get32(head) >> 8;
    f->type = head[3];
    f->flags = head[4];
    f->stream = get32(head + 5) & 0x7fffffff;
    if (f->len > sizeof(f->data) || !receive(fd, f->data, f->len))
        return false;
    if (f->type == FRAME_SETTINGS && !(f->flags & FRAME_ACK))
        return frames_send(fd, FRAME_SETTINGS, FRAME_ACK, 0, NULL, 0);
    return true;
}

bool frames_await(int fd, uint8_t type, frame *f)
{
    do {
        if (!frames_read(fd, f))
            return false;
    } while (f->type != type || (type == FRAME_SETTINGS && (f->flags & FRAME_ACK)));
    return true;
}

bool frames_request(int fd, frame *f, uint32_t *stream, size_t *body)
{
    *body = 0;
    for (;;) {
        if (!frames_read(fd, f))
            return false;
        if (f->type == FRAME_DATA && f->len) {
            *body += f->len;
            if (!frames_send_number(fd, FRAME_WINDOW_UPDATE, 0, (uint32_t)f->len) ||
                !frames_send_number(fd, FRAME_WINDOW_UPDATE, f->stream, (uint32_t)f->len))
                return false;
        }
        *stream = f->stream;
        if ((f->type == FRAME_HEADERS || f->type == FRAME_DATA) && (f->flags & FRAME_END_STREAM))
            return true;
    }
}

bool frames_answer(int fd, uint32_t stream, const char *text)
{
    return frames_send(fd, FRAME_HEADERS, FRAME_END_HEADERS, stream, BYTES(STATUS_200)) &&
           frames_send(fd, FRAME_DATA, FRAME_END_STREAM, stream, text, strlen(text));
}
