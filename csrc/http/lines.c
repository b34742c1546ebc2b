#include "http/lines.h"

#include <string.h>

void opf_lines_init(opf_lines *lines, bool trailers)
{
    *lines = (opf_lines){.status_line = !trailers};
}

/* Bytes on their way to the taker: those from run to at are good as they are, and go together. */
struct pass {
    opf_lines *lines;
    const char *run;
    const char *at;
    const char *end;
    const char *line_end; /* of the line held, where its CRLF is part of the run; or NULL */
    opf_lines_fn *give;
    void *arg;
    bool stopped;
};

static void give(struct pass *p, const char *data, size_t len)
{
    if (len && !p->stopped && p->give(p->arg, data, len) != 0)
        p->stopped = true;
}

/* Gives the run up to a place, and begins another one at next. */
static void flush(struct pass *p, const char *to, const char *next)
{
    give(p, p->run, (size_t)(to - p->run));
    p->run = next;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A byte has come that tells whether the line held goes on. */
static void let_go(struct pass *p)
{
    opf_lines *lines = p->lines;
    lines->held = false;
    if (is_blank(*p->at)) {
        flush(p, p->line_end ? p->line_end : p->run, p->at);
        lines->folding = true;
        lines->in_line = true;
        give(p, " ", 1);
    } else if (!p->line_end) {
        give(p, "\r\n", 2);
    }
    p->line_end = NULL;
}

static void skip_blanks(struct pass *p)
{
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
    p->run = p->at;
    p->lines->folding = p->at == p->end;
}

static void note_text(opf_lines *lines, const char *data, size_t len)
{
    if (!len)
        return;
    lines->in_line = true;
    size_t room = sizeof(lines->start) - lines->n_start;
    if (!lines->status_line || !room)
        return;
    size_t n = len < room ? len : room;
    memcpy(lines->start + lines->n_start, data, n);
    lines->n_start = (uint8_t)(lines->n_start + n);
}

/* A line is over at text_end; its CRLF, if it is one and lies here, ends at p->at. Returns true if
 * that was the empty one. */
static bool end_line(struct pass *p, const char *text_end, bool crlf)
{
    opf_lines *lines = p->lines;
    bool empty = !lines->in_line;
    lines->in_line = false;
    lines->cr = false;
    if (empty && lines->status_line) { /* before the status line: not the end of anything */
        flush(p, text_end, p->at);
    } else if (empty || lines->status_line) {
        flush(p, crlf ? p->at : text_end, p->at);
        if (!crlf)
            give(p, "\r\n", 2);
        lines->status_line = false;
        return empty;
    } else {
        lines->held = true;
        p->line_end = crlf ? text_end : NULL;
        if (!crlf)
            flush(p, text_end, p->at);
    }
    return false;
}

/* Goes on to the end of a line, or of what there is. */
static opf_lines_state pass_line(struct pass *p)
{
    const char *at = p->at;
    if (p->lines->cr) {
        if (*at != '\n')
            return OPF_LINES_BARE_CR;
        p->at = p->run = at + 1;
        return end_line(p, p->run, false) ? OPF_LINES_END : OPF_LINES_MORE;
    }
    const char *lf = memchr(at, '\n', (size_t)(p->end - at)), *stop = lf ? lf : p->end;
    const char *cr = memchr(at, '\r', (size_t)(stop - at));
    if (cr && cr + 1 < stop)
        return OPF_LINES_BARE_CR;
    const char *text_end = cr ? cr : stop;
    note_text(p->lines, at, (size_t)(text_end - at));
    p->at = lf ? lf + 1 : p->end;
    if (!lf) {
        p->lines->cr = cr != NULL;
        flush(p, text_end, p->end);
        return OPF_LINES_MORE;
    }
    return end_line(p, text_end, cr != NULL) ? OPF_LINES_END : OPF_LINES_MORE;
}

/* Passes over whole lines in CRLF that nothing continues: nearly all there are. They stay part of
 * the run; what is any different is left to the others. */
static void pass_usual(struct pass *p)
{
    opf_lines *lines = p->lines;
    for (;;) {
        const char *at = p->at, *lf = memchr(at, '\n', (size_t)(p->end - at));
        if (!lf || lf + 1 == p->end || lf - at < 2 || lf[-1] != '\r' || is_blank(lf[1]) ||
            memchr(at, '\r', (size_t)(lf - 1 - at)))
            return;
        if (lines->status_line) {
            note_text(lines, at, (size_t)(lf - 1 - at));
            lines->status_line = lines->in_line = false;
        }
        p->at = lf + 1;
    }
}

opf_lines_state opf_lines_feed(opf_lines *lines, const char *data, size_t len, size_t *used,
                               opf_lines_fn *taker, void *arg)
{
    struct pass p = {
        .lines = lines, .run = data, .at = data, .end = data + len, .give = taker, .arg = arg};
    opf_lines_state state = OPF_LINES_MORE;
    while (state == OPF_LINES_MORE && p.at < p.end && !p.stopped) {
        if (lines->held)
            let_go(&p);
        if (lines->folding)
            skip_blanks(&p);
        else if (!lines->in_line && !lines->cr && p.at < p.end)
            pass_usual(&p);
        if (p.at < p.end)
            state = pass_line(&p);
    }
    if (state == OPF_LINES_MORE)
        flush(&p, p.line_end ? p.line_end : p.at, p.at);
    *used = (size_t)(p.at - data);
    return p.stopped ? OPF_LINES_STOPPED : state;
}
