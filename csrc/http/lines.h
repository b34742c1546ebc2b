/* The lines of a response's head or trailers, brought into one form before they are parsed.
 *
 * What versions of the parser see differently, and some of them wrongly, is settled here: a line
 * may end in LF alone (RFC 9112, 2.2), a CR that no LF follows is refused, and a line that
 * continues the one before (RFC 9112, 5.2) becomes part of it. Storage of the caller. One thread.
 */
#ifndef OPF_HTTP_LINES_H
#define OPF_HTTP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a status line up to and with the one behind the status. */
#define OPF_LINES_START 13

typedef enum opf_lines_state {
    OPF_LINES_MORE,    /* more bytes are needed */
    OPF_LINES_END,     /* the empty line has come */
    OPF_LINES_BARE_CR, /* a CR without its LF */
    OPF_LINES_STOPPED  /* the taker wants no more */
} opf_lines_state;

typedef struct opf_lines {
    bool status_line; /* a status line is due or under way, and no field */
    bool in_line;     /* a byte of this line has come */
    bool cr;          /* a CR has come, its LF is due */
    bool held;        /* the end of a field's line is kept back: the next one may continue it */
    bool folding;     /* at the begin of a line that continues one */
    uint8_t n_start;
    char start[OPF_LINES_START]; /* of the status line */
} opf_lines;

/* Takes bytes in the one form: lines in CRLF, none continued. Returns 0, or anything else to stop.
 */
typedef int opf_lines_fn(void *arg, const char *data, size_t len);

/* Sets up for a head, or for trailers, which have no status line. */
void opf_lines_init(opf_lines *lines, bool trailers);

/* Gives what the bytes hold to the taker, up to and with an empty line. *used is set to how many
 * bytes that were. */
opf_lines_state opf_lines_feed(opf_lines *lines, const char *data, size_t len, size_t *used,
                               opf_lines_fn *give, void *arg);

#endif
