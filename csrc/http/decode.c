#include "http/decode.h"

#define ZLIB_CONST /* z_stream.next_in points to const */

#include <brotli/decode.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"

#define CODINGS_MAX 5      /* of one body; nobody uses more than two */
#define DEFLATE_RATIO 1032 /* a byte of deflate's can't stand for more */
#define GZIP_MIN 18        /* header and trailer */
#define ROOM_MIN 1024
#define WINDOW 15 /* zlib's windowBits: raw deflate negative, with a gzip wrapper 16 more */
#define WINDOW_GZIP (WINDOW + 16)
#define WINDOW_RAW (-WINDOW)

/* Undoes one coding of a whole body; appends to out, which may grow to end. */
typedef int decode_fn(const uint8_t *in, size_t in_len, size_t end, opf_buf *out);

struct coding {
    const char *name;   /* in lower case */
    const char *report; /* the name it goes by in *coding */
    decode_fn *decode;  /* NULL: nothing to undo */
};

/* Room to write */

/* Makes room behind out's bytes. Returns how much of it may be used; 0 with *ret OPF_ENOMEM, or
 * OPF_DECODE_SIZE when out has reached its end. */
static size_t make_room(opf_buf *out, size_t end, int *ret)
{
    size_t left = end - out->len;
    if (!left) {
        *ret = OPF_DECODE_SIZE;
        return 0;
    }
    if (out->cap == out->len && opf_buf_reserve(out, left < ROOM_MIN ? left : ROOM_MIN) != 0) {
        *ret = OPF_ENOMEM;
        return 0;
    }
    size_t room = out->cap - out->len;
    return room < left ? room : left;
}

/* zlib */

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return opf_mem_alloc((size_t)items * size);
}

static void zlib_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    opf_mem_free(p);
}

struct inflater {
    z_stream z;
    const uint8_t *in;
    size_t in_len; /* not given to zlib yet */
    size_t end;
    opf_buf *out;
};

/* Does one step. Returns zlib's Z_OK or Z_STREAM_END, or what opf_decode returns. */
static int inflate_step(struct inflater *inf)
{
    uint8_t past_end;
    int ret = 0;
    z_stream *z = &inf->z;
    if (!z->avail_in) {
        z->next_in = inf->in;
        z->avail_in = inf->in_len < UINT_MAX ? (uInt)inf->in_len : UINT_MAX;
        inf->in += z->avail_in;
        inf->in_len -= z->avail_in;
    }
    size_t room = make_room(inf->out, inf->end, &ret);
    if (ret == OPF_ENOMEM)
        return ret;
    /* a full buffer is no failure if nothing more comes */
    z->next_out = room ? inf->out->data + inf->out->len : &past_end;
    z->avail_out = room < UINT_MAX ? (uInt)(room ? room : 1) : UINT_MAX;
    uInt given = z->avail_out, had = z->avail_in;
    /* all the input there is, which saves zlib its window if the room is enough */
    int status = inflate(z, Z_FINISH);
    size_t made = given - z->avail_out;
    if (made && !room)
        return OPF_DECODE_SIZE;
    inf->out->len += made;
    if (status == Z_MEM_ERROR)
        return OPF_ENOMEM;
    if (status == Z_STREAM_END)
        return Z_STREAM_END;
    /* without progress the input is cut off */
    if (status != Z_OK && status != Z_BUF_ERROR)
        return OPF_DECODE_BAD;
    return made || had != z->avail_in || inf->in_len ? Z_OK : OPF_DECODE_BAD;
}

static bool has_more_members(const struct inflater *inf)
{
    const z_stream *z = &inf->z;
    return z->avail_in >= 2 && z->next_in[0] == 0x1f && z->next_in[1] == 0x8b;
}

/* Undoes deflate in the wrapping that window_bits says. */
static int inflate_all(int window_bits, const uint8_t *in, size_t in_len, size_t end, opf_buf *out)
{
    struct inflater inf = {.z = {.zalloc = zlib_alloc, .zfree = zlib_free},
                           .in = in,
                           .in_len = in_len,
                           .end = end,
                           .out = out};
    if (inflateInit2(&inf.z, window_bits) != Z_OK)
        return OPF_ENOMEM; /* the only failure of correct arguments */
    int ret;
    do {
        ret = inflate_step(&inf);
        if (ret == Z_STREAM_END && window_bits == WINDOW_GZIP && has_more_members(&inf))
            ret = inflateReset(&inf.z);
    } while (ret == Z_OK);
    inflateEnd(&inf.z);
    return ret == Z_STREAM_END ? 0 : ret;
}

/* Takes what the gzip trailer says of the size for the first allocation, as far as it can be true.
 */
static int reserve_gzip(const uint8_t *in, size_t in_len, size_t end, opf_buf *out)
{
    if (in_len < GZIP_MIN)
        return 0;
    const uint8_t *p = in + in_len - 4;
    size_t size = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (size > end - out->len || size / DEFLATE_RATIO > in_len)
        return 0;
    return opf_buf_reserve(out, size + 1); /* not to grow for the end mark */
}

static int decode_gzip(const uint8_t *in, size_t in_len, size_t end, opf_buf *out)
{
    if (reserve_gzip(in, in_len, end, out) != 0)
        return OPF_ENOMEM;
    return inflate_all(WINDOW_GZIP, in, in_len, end, out);
}

static int decode_deflate(const uint8_t *in, size_t in_len, size_t end, opf_buf *out)
{
    size_t before = out->len;
    if (in_len >= 2 && (in[0] & 15) == Z_DEFLATED && (in[0] << 8 | in[1]) % 31 == 0) {
        int ret = inflate_all(WINDOW, in, in_len, end, out);
        if (ret != OPF_DECODE_BAD)
            return ret;
        out->len = before; /* it may have looked like a zlib header by chance */
    }
    return inflate_all(WINDOW_RAW, in, in_len, end, out);
}

/* brotli */

static void *brotli_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return opf_mem_alloc(size);
}

static void brotli_free(void *opaque, void *p)
{
    (void)opaque;
    opf_mem_free(p);
}

static bool is_brotli_memory_error(BrotliDecoderErrorCode code)
{
    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
           code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
}

static int brotli_all(BrotliDecoderState *state, const uint8_t *in, size_t in_len, size_t end,
                      opf_buf *out)
{
    for (;;) {
        uint8_t past_end;
        int ret = 0;
        size_t room = make_room(out, end, &ret), left = room ? room : 1;
        if (ret == OPF_ENOMEM)
            return ret;
        uint8_t *to = room ? out->data + out->len : &past_end;
        BrotliDecoderResult result =
            BrotliDecoderDecompressStream(state, &in_len, &in, &left, &to, NULL);
        if (!room && !left)
            return OPF_DECODE_SIZE;
        out->len += room ? room - left : 0;
        if (result == BROTLI_DECODER_RESULT_SUCCESS)
            return 0;
        if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
            continue;
        if (result == BROTLI_DECODER_RESULT_ERROR &&
            is_brotli_memory_error(BrotliDecoderGetErrorCode(state)))
            return OPF_ENOMEM;
        return OPF_DECODE_BAD;
    }
}

static int decode_br(const uint8_t *in, size_t in_len, size_t end, opf_buf *out)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, NULL);
    if (!state)
        return OPF_ENOMEM;
    int ret = brotli_all(state, in, in_len, end, out);
    BrotliDecoderDestroyInstance(state);
    return ret;
}

/* Lists of codings */

static const struct coding codings[] = {
    {"gzip", "gzip", decode_gzip},          {"x-gzip", "gzip", decode_gzip},
    {"deflate", "deflate", decode_deflate}, {"br", "br", decode_br},
    {"identity", "identity", NULL},
};

static const struct coding *find_coding(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        const char *known = codings[i].name;
        size_t at = 0;
        while (at < len && known[at] &&
               (name[at] >= 'A' && name[at] <= 'Z' ? name[at] | 0x20 : name[at]) == known[at])
            at++;
        if (at == len && !known[at])
            return &codings[i];
    }
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Reads a Content-Encoding value. Returns the number of codings to undo, or OPF_DECODE_UNKNOWN
 * negated. */
static int parse_list(const char *value, size_t len, const struct coding *list[CODINGS_MAX])
{
    const char *end = value + len;
    int n = 0;
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *next = comma ? comma + 1 : end, *stop = comma ? comma : end;
        while (value < stop && is_blank(*value))
            value++;
        while (value < stop && is_blank(stop[-1]))
            stop--;
        const struct coding *coding = find_coding(value, (size_t)(stop - value));
        if (stop > value && (!coding || (coding->decode && n == CODINGS_MAX)))
            return -OPF_DECODE_UNKNOWN;
        if (coding && coding->decode)
            list[n++] = coding;
        value = next;
    }
    return n;
}

/* Undoes the codings of a list, the last first, all but the first of them into a buffer of their
 * own. */
static int decode_list(const struct coding *const *list, int n, const uint8_t *in, size_t in_len,
                       size_t max_out, opf_buf *out, const char **coding)
{
    opf_buf between;
    int ret = 0;
    opf_buf_init(&between);
    while (n-- > 0 && ret == 0) {
        opf_buf made;
        opf_buf_init(&made);
        opf_buf *to = n ? &made : out;
        size_t end = max_out > SIZE_MAX - to->len ? SIZE_MAX : to->len + max_out;
        *coding = list[n]->report;
        /* nothing coded is nothing: servers say what they would have coded with */
        if (in_len)
            ret = list[n]->decode(in, in_len, end, to);
        if (!n)
            break;
        opf_buf_fini(&between);
        between = made;
        in = between.data;
        in_len = between.len;
    }
    opf_buf_fini(&between);
    return ret;
}

int opf_decode(const char *content_encoding, size_t ce_len, const uint8_t *in, size_t in_len,
               size_t max_out, opf_buf *out, const char **coding)
{
    const struct coding *list[CODINGS_MAX];
    const char *fault = "identity";
    size_t before = out->len;
    int n = parse_list(content_encoding, ce_len, list), ret;
    if (n < 0)
        return OPF_DECODE_UNKNOWN;
    if (n)
        ret = decode_list(list, n, in, in_len, max_out, out, &fault);
    else
        ret = in_len > max_out ? OPF_DECODE_SIZE : opf_buf_append(out, in, in_len);
    if (ret != 0) {
        out->len = before;
        *coding = fault;
    }
    return ret;
}
