/* The chunked transfer coding (RFC 9112, 7.1), up to the trailers.
 *
 * To the letter where it says how much is to come, as whoever counts otherwise takes part of one
 * response for the next; blanks may follow a size, and extensions say nothing to us, of which there
 * is an end. Storage of the caller. One thread.
 */
#ifndef OPF_HTTP_CHUNKS_H
#define OPF_HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

typedef enum opf_chunks_state {
    OPF_CHUNKS_MORE, /* go on with further bytes */
    OPF_CHUNKS_LAST, /* the line of the last chunk is over: trailers follow, or an empty line */
    OPF_CHUNKS_BAD
} opf_chunks_state;

/* Bytes besides the data that may come, and how many more with each chunk and each byte of it. */
#define OPF_CHUNKS_EXCESS (64U << 10)
#define OPF_CHUNKS_EXCESS_A_CHUNK 256
#define OPF_CHUNKS_EXCESS_A_BYTE 2

typedef struct opf_chunks {
    uint64_t left;   /* of this chunk's data */
    uint64_t excess; /* bytes besides the data, beyond those that go with it */
    uint8_t at;      /* part of a chunk; 0: a size is due */
    const char *why;
} opf_chunks;

/* Takes bytes up to and with a piece of data, which is at *piece and may be empty. Returns how it
 * stands, with *used set to the number of bytes; OPF_CHUNKS_BAD with chunks->why a constant text.
 */
opf_chunks_state opf_chunks_feed(opf_chunks *chunks, const uint8_t *data, size_t len, size_t *used,
                                 const uint8_t **piece, size_t *piece_len);

#endif
