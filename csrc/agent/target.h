/* A path with its query, in the form in which a user class sends it. Threads: any. */
#ifndef OPF_AGENT_TARGET_H
#define OPF_AGENT_TARGET_H

#include "agent/plan.h"
#include "base/buf.h"

/* Appends a target without its fragment, with params (NULL: none) in its query, quoted: of the http
 * style as requests and urllib3 do it (dot segments removed, every percent sign encoded unless all
 * of them begin an escape, an empty query left out; params not touched), of the fast style as
 * geventhttpclient does. It begins with a slash then. Returns 0, OPF_ENOMEM, or OPF_EINVAL with
 * *why for params that requests would not send as they stand in its URL. */
int opf_target_write(const char *target, size_t len, const char *params, size_t params_len,
                     opf_style style, opf_buf *out, opf_why *why);

#endif
