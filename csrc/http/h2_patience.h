/* How many frames a server may send that bring nothing: a flood of them would keep the thread busy
 * and its streams waiting, with not a byte more of any response.
 *
 * Frames are counted by their heads, whatever they are: nghttp2 tells nothing of those that it
 * ignores. One thread.
 */
#ifndef OPF_HTTP_H2_PATIENCE_H
#define OPF_HTTP_H2_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frames within a second that may bring nothing, beyond those that are to be expected, as long as
 * nothing else comes. So many bytes count as one more. */
#define OPF_H2_PATIENCE 10000
#define OPF_H2_PATIENCE_BYTES 1024

/* A member of its session's structure, all zero and restored at first. */
typedef struct opf_h2_patience {
    uint64_t left;   /* frames */
    uint64_t since;  /* monotonic ns of when it was whole last */
    size_t payload;  /* bytes to come yet of the frame that has come last */
    uint8_t head[9]; /* of a frame, as far as it has come (RFC 9113, 4.1) */
    uint8_t head_len;
    uint8_t type; /* of the frame that has come last */
} opf_h2_patience;

/* Has it whole again if a second is over; now is monotonic ns. */
void opf_h2_patience_renew(opf_h2_patience *patience, uint64_t now);

/* Has it whole again, as something has come. */
void opf_h2_patience_restore(opf_h2_patience *patience);

/* Takes note of so many frames more that the server has reason to send. */
void opf_h2_patience_grant(opf_h2_patience *patience, uint64_t frames);

/* Looks at what was received. Returns what it would cost. */
uint64_t opf_h2_patience_cost(opf_h2_patience *patience, const uint8_t *data, size_t len);

/* Spends that. Returns false when it is more than is left. */
bool opf_h2_patience_spend(opf_h2_patience *patience, uint64_t cost);

#endif
