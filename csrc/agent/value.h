/* Values that a plan works with: what an agent remembers, draws, or takes from a response.
 *
 * They follow Python's: a text is UTF-8, an int has 64 bits (what would not fit is an error, never
 * another number), None, bool, int, float and text compare as Python's do. Storage of the caller;
 * bytes of texts belong to whoever made them (the plan, the agent, or the task under way). One
 * thread.
 */
#ifndef OPF_AGENT_VALUE_H
#define OPF_AGENT_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef enum opf_kind {
    OPF_UNSET = 0, /* it was not there: whoever needs it fails */
    OPF_NONE,
    OPF_BOOL,
    OPF_INT,
    OPF_FLOAT,
    OPF_TEXT, /* UTF-8 */
    OPF_JSON  /* an object or an array, as JSON */
} opf_kind;

typedef struct opf_value {
    uint8_t kind; /* opf_kind */
    uint32_t len; /* of a text or JSON, in bytes */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s; /* not NUL-terminated */
    };
} opf_value;

/* How a value stands in what is written. */
typedef enum opf_encoding {
    OPF_AS_TEXT = 0,    /* str(value) */
    OPF_AS_JSON,        /* json.dumps(value): a text in quotes, None as null */
    OPF_AS_JSON_STRING, /* str(value) within quotes that stand there already, escaped as json.dumps
                           does it (ASCII only) */
    OPF_AS_QUERY,       /* urllib.parse.quote_plus(str(value)) */
    OPF_AS_HEADER       /* str(value) in Latin-1; control characters but tab, and what Latin-1 does
                           not have, are errors */
} opf_encoding;

/* A number's format: what Python's format() takes, of [0][width][.precision][type], with the types
 * d f e g x X s and none. All zero: str(value). */
typedef struct opf_format {
    bool zero;
    char type; /* 0: none */
    uint16_t width;
    int16_t precision; /* -1: none; counts only if type or width is given */
} opf_format;

/* Why a value can't be used: constant texts. */
typedef const char *opf_why;

/* Appends a value. Returns 0, OPF_ENOMEM, or OPF_EINVAL with *why set to a constant text (of what
 * the encoding can't express, or of a value that is not set). */
int opf_value_write(opf_buf *out, const opf_value *value, opf_encoding encoding,
                    const opf_format *format, opf_why *why);

/* Whether why tells of a text that no header may have, and not of a value that can't be had. */
bool opf_value_breaks_header(opf_why why);

#endif
