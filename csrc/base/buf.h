/* A growing byte buffer.
 *
 * Storage of the caller (opf_buf_init/_fini), bytes on the heap. Threads: that of the owner.
 */
#ifndef OPF_BASE_BUF_H
#define OPF_BASE_BUF_H

#include <stdint.h>
#include <string.h>

#include "opf.h"

typedef struct opf_buf {
    uint8_t *data; /* NULL while cap is 0 */
    size_t len;    /* bytes in use */
    size_t cap;    /* bytes allocated */
} opf_buf;

static inline void opf_buf_init(opf_buf *buf)
{
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
}

/* Gives the bytes back; the buffer is empty and usable afterwards. */
void opf_buf_fini(opf_buf *buf);

/* Grows the buffer to hold more_len and maybe more. Returns 0 or OPF_ENOMEM. */
int opf_buf_grow(opf_buf *buf, size_t more_len);

/* Makes room for more_len bytes behind the used ones. Returns 0 or OPF_ENOMEM. */
static inline int opf_buf_reserve(opf_buf *buf, size_t more_len)
{
    return buf->cap - buf->len >= more_len ? 0 : opf_buf_grow(buf, more_len);
}

/* Appends len bytes. Returns 0, or OPF_ENOMEM with the buffer unchanged. */
static inline int opf_buf_append(opf_buf *buf, const void *data, size_t len)
{
    if (opf_buf_reserve(buf, len) != 0)
        return OPF_ENOMEM;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

/* Appends a NUL-terminated string without its NUL. */
static inline int opf_buf_append_str(opf_buf *buf, const char *s)
{
    return opf_buf_append(buf, s, strlen(s));
}

/* Appends n in decimal digits. */
int opf_buf_append_uint(opf_buf *buf, uint64_t n);

#endif
