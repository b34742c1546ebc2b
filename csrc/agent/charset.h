/* The text of a response's body, as requests reads it and Locust's FastHttpSession
 * too. Threads: any. */
#ifndef OPF_AGENT_CHARSET_H
#define OPF_AGENT_CHARSET_H

#include "agent/eval.h"

typedef enum opf_charset {
    OPF_CHARSET_UTF8,
    OPF_CHARSET_ASCII,
    OPF_CHARSET_LATIN1,
    OPF_CHARSET_GUESS, /* none is named: UTF-8 if it is that */
    OPF_CHARSET_OTHER  /* one that we don't know */
} opf_charset;

/* The charset that a Content-Type (empty: there is none) means. */
opf_charset opf_charset_of(const char *type, size_t len);

/* Makes a text of bytes, which it points to where they are one already, else it is the arena's;
 * what can't be read is U+FFFD. OPF_UNSET if the charset is not known. Returns 0 or OPF_ENOMEM. */
int opf_charset_decode(opf_charset charset, const uint8_t *bytes, size_t len, opf_arena *arena,
                       opf_value *text);

#endif
