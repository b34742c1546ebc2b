/* Frames of HTTP/2 as a server may send them that has lost its mind: most are in order by
 * themselves, few are where they belong, and some are broken. The same ones from the same state.
 */
#ifndef OPF_TESTS_FRAMES_RANDOM_H
#define OPF_TESTS_FRAMES_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Room for whatever frames_random writes at a time. */
#define FRAMES_RANDOM_MAX 70000

/* A number below n, which is not 0. */
uint32_t random_below(uint32_t *state, uint32_t n);

/* Writes one or more frames to room, for a client whose streams so far are 1, 3, ... last (0: there
 * are none). Returns their length. */
size_t frames_random(uint32_t *state, uint32_t last, uint8_t *room);

/* Serves a connection: sends some of them behind each frame that comes, and doesn't always listen.
 */
void frames_random_serve(int fd, uint32_t seed);

#endif
