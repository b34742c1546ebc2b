/* JSON read in place: what stands at some paths, without a tree of the whole. Threads: any.
 *
 * A body is gone through once, and not further than to the last value that is wanted, unless a key
 * on the way to it stands somewhere behind it: of a key that an object has twice the last counts.
 * What is passed over is not checked, but an object or array that is taken is. An index leads into
 * a text too, to one of its characters.
 */
#ifndef OPF_AGENT_JSON_H
#define OPF_AGENT_JSON_H

#include "agent/eval.h"

#define OPF_JSON_DEPTH 512 /* nesting up to which a text counts as JSON */

/* A path, and what was found there: OPF_UNSET if there is nothing. Bytes of the value are those of
 * the JSON, or the arena's. */
typedef struct opf_json_want {
    const opf_path *path;
    opf_value value;
    uint32_t matched; /* json.c's own, as is found */
    bool found;
} opf_json_want;

/* Finds all that is wanted. Returns 0, OPF_ENOMEM, or OPF_EINVAL for an int that 64 bits don't
 * hold.
 */
int opf_json_find(const char *s, size_t len, opf_json_want *wants, uint32_t n, opf_arena *arena);

/* True if json.loads would take it: NaN and infinities too. */
bool opf_json_valid(const char *s, size_t len);

/* Makes the value the kind of a whole text of JSON, of an object or array with its bracket alone;
 * OPF_UNSET: it begins as none. */
void opf_json_begin(const char *s, size_t len, opf_value *value);

/* Counts the members of an object or array; a key that is there twice counts once. Returns 0 or
 * OPF_ENOMEM. */
int opf_json_count(const opf_value *json, opf_arena *arena, uint32_t *n);

/* The next member of an object or array: *at is 0 at first. Its key (of an object, in quotes as it
 * stands) and its value as they stand. Returns false when there is none. */
typedef struct opf_json_raw {
    const char *s;
    size_t len;
} opf_json_raw;
bool opf_json_next(const opf_value *json, size_t *at, opf_json_raw *key, opf_json_raw *member);

/* The value that raw JSON stands for. Returns as opf_json_find. */
int opf_json_value(opf_json_raw raw, opf_arena *arena, opf_value *value);

/* True if a raw text in quotes, of JSON, is the given one. */
bool opf_json_is_text(opf_json_raw raw, const char *s, size_t len);

#endif
