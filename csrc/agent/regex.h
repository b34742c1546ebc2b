/* Regular expressions of a plan, on PCRE2, which only regex.c knows.
 *
 * Only what means the same to Python's re is compiled; the rest is refused. A compiled expression
 * is never changed, so that any number of threads may match it.
 */
#ifndef OPF_AGENT_REGEX_H
#define OPF_AGENT_REGEX_H

#include <stddef.h>
#include <stdint.h>

#include "agent/value.h"

typedef struct opf_regex opf_regex;

/* Flags of Python's re: their numbers there. */
enum { OPF_RE_IGNORECASE = 2, OPF_RE_MULTILINE = 8, OPF_RE_DOTALL = 16, OPF_RE_ASCII = 256 };

/* Returns a compiled expression, which the caller owns; or NULL, with *why set to a constant text
 * if it is no memory that is missing. */
opf_regex *opf_regex_new(const char *pattern, size_t len, uint32_t flags, opf_why *why);
void opf_regex_free(opf_regex *regex);

/* Groups it has, the whole match not counted. */
uint32_t opf_regex_groups(const opf_regex *regex);

/* Searches a text (UTF-8) as re.search does. Returns 1 with *at and *len of the group within the
 * text (*at SIZE_MAX: the group took no part), 0 without a match, OPF_ENOMEM, or OPF_EINVAL with
 * *why (the search was given up as too long). Bounded in time. */
int opf_regex_search(const opf_regex *regex, const char *text, size_t text_len, uint32_t group,
                     size_t *at, size_t *len, opf_why *why);

#endif
