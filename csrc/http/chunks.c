#include "http/chunks.h"

/* What is due. */
enum {
    FIRST_DIGIT, /* of a size */
    DIGITS,
    PADDING,   /* blanks behind a size, as some servers write it in a place of fixed width */
    EXTENSION, /* anything up to the end of the line */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF
};

static int digit_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static opf_chunks_state refuse(opf_chunks *chunks, const char *why)
{
    chunks->why = why;
    return OPF_CHUNKS_BAD;
}

static opf_chunks_state add_digit(opf_chunks *chunks, int digit)
{
    if (chunks->at == FIRST_DIGIT)
        chunks->left = 0;
    if (chunks->left >> 60)
        return refuse(chunks, "chunk size overflows");
    chunks->left = chunks->left << 4 | (uint64_t)digit;
    chunks->at = DIGITS;
    return OPF_CHUNKS_MORE;
}

/* A byte behind the digits of a size. */
static opf_chunks_state end_size(opf_chunks *chunks, uint8_t c)
{
    if (c == '\r')
        chunks->at = SIZE_LF;
    else if (c == ';')
        chunks->at = EXTENSION;
    else if (c == ' ' || c == '\t')
        chunks->at = PADDING;
    else
        return refuse(chunks, "invalid character in a chunk size");
    return OPF_CHUNKS_MORE;
}

static opf_chunks_state extend(opf_chunks *chunks, uint8_t c)
{
    if (c == '\r')
        chunks->at = SIZE_LF;
    else if ((c < 0x20 && c != '\t') || c == 0x7f)
        return refuse(chunks, "control character in a chunk extension");
    return OPF_CHUNKS_MORE;
}

static opf_chunks_state expect(opf_chunks *chunks, uint8_t c, uint8_t wanted, uint8_t next)
{
    if (c != wanted)
        return refuse(chunks, "CRLF missing in the chunked coding");
    chunks->at = next;
    return OPF_CHUNKS_MORE;
}

/* A chunk's data is to begin: it makes up for what stands around it. */
static void settle_excess(opf_chunks *chunks)
{
    uint64_t due = chunks->left < OPF_CHUNKS_EXCESS
                       ? OPF_CHUNKS_EXCESS_A_CHUNK + chunks->left * OPF_CHUNKS_EXCESS_A_BYTE
                       : chunks->excess;
    chunks->excess -= due < chunks->excess ? due : chunks->excess;
}

/* Takes a byte that is no data. */
static opf_chunks_state take(opf_chunks *chunks, uint8_t c)
{
    int digit;
    if (++chunks->excess > OPF_CHUNKS_EXCESS)
        return refuse(chunks, "too much besides the data in the chunked coding");
    switch (chunks->at) {
    case FIRST_DIGIT:
    case DIGITS:
        digit = digit_value(c);
        if (digit >= 0)
            return add_digit(chunks, digit);
        return chunks->at == DIGITS ? end_size(chunks, c) : refuse(chunks, "no chunk size");
    case PADDING:
        return end_size(chunks, c);
    case EXTENSION:
        return extend(chunks, c);
    case SIZE_LF:
        if (!chunks->left && c == '\n')
            return OPF_CHUNKS_LAST;
        settle_excess(chunks);
        return expect(chunks, c, '\n', DATA);
    case DATA_CR:
        return expect(chunks, c, '\r', DATA_LF);
    default:
        return expect(chunks, c, '\n', FIRST_DIGIT);
    }
}

opf_chunks_state opf_chunks_feed(opf_chunks *chunks, const uint8_t *data, size_t len, size_t *used,
                                 const uint8_t **piece, size_t *piece_len)
{
    opf_chunks_state state = OPF_CHUNKS_MORE;
    size_t at = 0, n = 0;
    while (at < len && state == OPF_CHUNKS_MORE && chunks->at != DATA)
        state = take(chunks, data[at++]);
    if (chunks->at == DATA && state == OPF_CHUNKS_MORE) {
        n = len - at < chunks->left ? len - at : (size_t)chunks->left;
        chunks->left -= n;
        if (!chunks->left)
            chunks->at = DATA_CR;
    }
    *piece = data + at;
    *piece_len = n;
    *used = at + n;
    return state;
}
