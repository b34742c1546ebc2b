/* A path with its query, in the form in which a user class sends it. Threads: any. */
#ifndef OPF_AGENT_TARGET_H
#define OPF_AGENT_TARGET_H

#include "agent/plan.h"
#include "base/buf.h"

/* Appends a target without its fragment, quoted: of the http style as requests and urllib3 do it
 * (dot segments removed, every percent sign encoded unless all of them begin an escape, an empty
 * query left out), of the fast style as geventhttpclient does. It begins with a slash then. Returns
 * 0 or OPF_ENOMEM. */
int opf_target_write(const char *target, size_t len, opf_style style, opf_buf *out);

#endif
