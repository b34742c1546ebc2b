#include "base/buf.h"

#include "base/mem.h"

#define FIRST_CAP 64

void opf_buf_fini(opf_buf *buf)
{
    opf_mem_free(buf->data);
    opf_buf_init(buf);
}

int opf_buf_grow(opf_buf *buf, size_t more_len)
{
    if (more_len > SIZE_MAX / 2 - buf->len)
        return OPF_ENOMEM;
    size_t need = buf->len + more_len;
    size_t cap = buf->cap ? buf->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    uint8_t *data = opf_mem_realloc(buf->data, cap);
    if (!data)
        return OPF_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int opf_buf_append_uint(opf_buf *buf, uint64_t n)
{
    char digits[20]; /* 2^64 has 20 digits */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return opf_buf_append(buf, digits + at, sizeof(digits) - at);
}
