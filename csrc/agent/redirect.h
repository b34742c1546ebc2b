/* Where a redirect leads (RFC 3986, 5.2; RFC 9110, 15.4), as requests and geventhttpclient follow
 * them.
 */
#ifndef OPF_AGENT_REDIRECT_H
#define OPF_AGENT_REDIRECT_H

#include <stdbool.h>

#include "agent/plan.h"
#include "base/buf.h"
#include "opf.h"

typedef struct opf_redirect {
    bool follows;             /* the response is a redirect that is followed */
    bool to_get;              /* with GET, else with the method as it was */
    bool drops_body;          /* without the body, and what headers say about it (Content-Type) */
    bool drops_authorization; /* it leads to another host, port or scheme; requests lets a change
                                 from http to https on their usual ports pass */
    const char *why;          /* it can't be followed: a constant text, or NULL; follows is false */
} opf_redirect;

/* Judges a response to a request of a method (NUL-terminated) at base (an absolute URL of base_len
 * bytes). What is followed is appended to url as an absolute URL that opf_url_parse takes, quoted
 * as the style does it; else url is as it was. Returns 0, or OPF_ENOMEM with url as it was. */
int opf_redirect_judge(const opf_result *result, opf_style style, const char *method,
                       const char *base, size_t base_len, opf_redirect *redirect, opf_buf *url);

#endif
