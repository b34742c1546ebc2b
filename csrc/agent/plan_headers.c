/* Headers whose values don't vary, as they are sent. */
#include <strings.h>

#include "agent/plan_tables.h"
#include "base/buf.h"
#include "base/mem.h"

bool opf_header_breaks_line(const void *value, size_t len)
{
    return len && (memchr(value, '\n', len) || memchr(value, '\r', len) || memchr(value, 0, len));
}

bool opf_header_closes(const opf_request_header *header, const void *value, size_t len)
{
    return header->name_len == 10 && len == 5 && strncasecmp(header->name, "connection", 10) == 0 &&
           strncasecmp(value, "close", 5) == 0;
}

/* One that can't be sent varies too: each request that would have it says so. */
static bool varies(const opf_request_header *header)
{
    for (uint32_t i = 0; i < header->value.n; i++) {
        const opf_piece *piece = &header->value.pieces[i];
        if (!piece->text || opf_header_breaks_line(piece->text, piece->len))
            return true;
    }
    return false;
}

static int write_line(const opf_request_header *header, opf_buf *out, bool *closes)
{
    if (opf_buf_append(out, header->name, header->name_len) != 0 ||
        opf_buf_append(out, ": ", 2) != 0)
        return OPF_ENOMEM;
    size_t at = out->len;
    for (uint32_t i = 0; i < header->value.n; i++)
        if (opf_buf_append(out, header->value.pieces[i].text, header->value.pieces[i].len) != 0)
            return OPF_ENOMEM;
    *closes |= opf_header_closes(header, out->data + at, out->len - at);
    return opf_buf_append(out, "\r\n", 2);
}

int opf_plan_join_headers(opf_request_plan *request)
{
    uint32_t n;
    for (uint32_t i = 0; i < request->n_headers; i += n ? n : 1) {
        opf_request_header *first = &request->headers[i];
        opf_buf lines;
        int ret = 0;
        opf_buf_init(&lines);
        for (n = 0; ret == 0 && i + n < request->n_headers && !varies(&first[n]); n++)
            ret = write_line(&first[n], &lines, &first->closes);
        first->lines = (char *)lines.data;
        first->lines_len = lines.len;
        first->n_joined = n;
        if (ret != 0)
            return ret;
    }
    return 0;
}
