/* HTTP/2 spoken frame by frame (RFC 9113), for the functions of a peer. Failing calls return false.
 */
#ifndef OPF_TESTS_FRAMES_H
#define OPF_TESTS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_PRIORITY,
    FRAME_RST_STREAM,
    FRAME_SETTINGS,
    FRAME_PUSH_PROMISE,
    FRAME_PING,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_CONTINUATION
};

enum { FRAME_ACK = 1, FRAME_END_STREAM = 1, FRAME_END_HEADERS = 4 };

/* Error codes (RFC 9113, 7). */
enum { CODE_NO_ERROR = 0, CODE_PROTOCOL = 1, CODE_REFUSED = 7, CODE_CANCEL = 8 };

/* Bytes of a literal, as two arguments. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* HPACK for ":status: 200". */
#define STATUS_200 "\x88"

typedef struct frame {
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    size_t len;
    uint8_t data[1 << 16];
} frame;

/* Reads the client's preface and sends SETTINGS with these bytes. */
bool frames_begin(int fd, const void *settings, size_t len);

/* Reads a frame; SETTINGS are acknowledged on the way. */
bool frames_read(int fd, frame *f);

/* Reads until a frame of this type, not an acknowledgement, has come. */
bool frames_await(int fd, uint8_t type, frame *f);

/* Reads until a request is whole; *body is set to the length of its body. Windows are opened as it
 * comes. */
bool frames_request(int fd, frame *f, uint32_t *stream, size_t *body);

bool frames_send(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
                 size_t len);

/* Sends a number of 32 bits, which is all that some frames hold. */
bool frames_send_number(int fd, uint8_t type, uint32_t stream, uint32_t number);

/* Sends a GOAWAY. */
bool frames_go_away(int fd, uint32_t last, uint32_t code);

/* Answers a request with the status 200 and the text. */
bool frames_answer(int fd, uint32_t stream, const char *text);

#endif
