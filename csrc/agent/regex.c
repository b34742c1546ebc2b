#include "agent/regex.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "opf.h"

#define MATCH_LIMIT 1000000 /* steps of a search: some ten ms */
#define DEPTH_LIMIT 10000
#define HEAP_LIMIT_KIB 8192
#define PATTERN_MAX 65536

struct opf_regex {
    pcre2_general_context *general;
    pcre2_match_context *limits;
    pcre2_code *code;
    uint32_t groups;
};

static void *take(PCRE2_SIZE size, void *arg)
{
    (void)arg;
    return opf_mem_alloc(size);
}

static void give(void *p, void *arg)
{
    (void)arg;
    opf_mem_free(p);
}

/* Escapes that both know in the same way. \v is a class to PCRE2, \Z means another end. */
static const char *refused_escape(char c)
{
    if (strchr("dDwWsSbBnrtfaxuA\\", c) || (c >= '0' && c <= '9'))
        return NULL;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return "an escape in a regular expression that is not the same for all";
    return NULL;
}

static const char *refused_group(const char *p, size_t left)
{
    static const char *const kept[] = {"(?:", "(?=", "(?!", "(?P<", "(?P=", "(?<=", "(?<!", "(?#"};
    if (left < 2)
        return NULL;
    if (p[1] == '*')
        return "a verb in a regular expression";
    if (p[1] != '?')
        return NULL;
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        if (left >= strlen(kept[i]) && memcmp(p, kept[i], strlen(kept[i])) == 0)
            return NULL;
    return "a group in a regular expression that is not the same for all";
}

/* Returns why the pattern may mean another thing to Python, or NULL. */
static const char *refused(const char *pattern, size_t len)
{
    bool in_class = false;
    size_t class_at = 0;
    for (size_t i = 0; i < len; i++) {
        const char *why = NULL;
        char c = pattern[i];
        if (c == '\\') {
            why = i + 1 < len ? refused_escape(pattern[++i]) : NULL;
        } else if (in_class) {
            bool first = i == class_at + 1 || (i == class_at + 2 && pattern[i - 1] == '^');
            if (c == ']' && !first)
                in_class = false;
            else if (c == '[')
                why = "[ within a class of a regular expression";
        } else if (c == '[') {
            in_class = true;
            class_at = i;
        } else if (c == '(') {
            why = refused_group(pattern + i, len - i);
        } else if (c == '{' && i + 1 < len && pattern[i + 1] == ',') {
            why = "{,n} in a regular expression";
        }
        if (why)
            return why;
    }
    return NULL;
}

/* Python's $ is before a line break at the end too, as PCRE2's; its line breaks are \n alone. */
static uint32_t options_of(uint32_t flags)
{
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_ALT_BSUX;
    options |= flags & OPF_RE_IGNORECASE ? PCRE2_CASELESS : 0;
    options |= flags & OPF_RE_MULTILINE ? PCRE2_MULTILINE | PCRE2_ALT_CIRCUMFLEX : 0;
    options |= flags & OPF_RE_DOTALL ? PCRE2_DOTALL : 0;
    options |= flags & OPF_RE_ASCII ? 0 : PCRE2_UCP;
    return options;
}

static int compile(opf_regex *regex, const char *pattern, size_t len, uint32_t flags, opf_why *why)
{
    int error = 0;
    PCRE2_SIZE at;
    pcre2_compile_context *context = pcre2_compile_context_create(regex->general);
    if (!context)
        return OPF_ENOMEM;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, PATTERN_MAX);
    regex->code = pcre2_compile((PCRE2_SPTR)pattern, len, options_of(flags), &error, &at, context);
    pcre2_compile_context_free(context);
    if (regex->code)
        return 0;
    if (error == PCRE2_ERROR_HEAP_FAILED)
        return OPF_ENOMEM;
    *why = "a regular expression that PCRE2 does not take";
    return OPF_EINVAL;
}

static int set_up(opf_regex *regex, const char *pattern, size_t len, uint32_t flags, opf_why *why)
{
    regex->general = pcre2_general_context_create(take, give, NULL);
    if (!regex->general)
        return OPF_ENOMEM;
    regex->limits = pcre2_match_context_create(regex->general);
    if (!regex->limits)
        return OPF_ENOMEM;
    pcre2_set_match_limit(regex->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(regex->limits, HEAP_LIMIT_KIB);
    int rc = compile(regex, pattern, len, flags, why);
    if (rc == 0)
        pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    return rc;
}

opf_regex *opf_regex_new(const char *pattern, size_t len, uint32_t flags, opf_why *why)
{
    const uint32_t known = OPF_RE_IGNORECASE | OPF_RE_MULTILINE | OPF_RE_DOTALL | OPF_RE_ASCII;
    *why =
        flags & ~known ? "a flag of a regular expression that is not taken" : refused(pattern, len);
    if (*why)
        return NULL;
    opf_regex *regex = opf_mem_zalloc(sizeof(*regex));
    if (!regex || set_up(regex, pattern, len, flags, why) != 0) {
        opf_regex_free(regex);
        return NULL;
    }
    return regex;
}

void opf_regex_free(opf_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    pcre2_match_context_free(regex->limits);
    pcre2_general_context_free(regex->general);
    opf_mem_free(regex);
}

uint32_t opf_regex_groups(const opf_regex *regex)
{
    return regex->groups;
}

static int give_up(int found, opf_why *why)
{
    if (found == PCRE2_ERROR_NOMEMORY)
        return OPF_ENOMEM;
    *why = found <= PCRE2_ERROR_UTF8_ERR1 && found >= PCRE2_ERROR_UTF8_ERR21
               ? "a search in a text that is no UTF-8"
               : "a search by a regular expression that takes too long";
    return OPF_EINVAL;
}

int opf_regex_search(const opf_regex *regex, const char *text, size_t text_len, uint32_t group,
                     size_t *at, size_t *len, opf_why *why)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex->code, regex->general);
    if (!data)
        return OPF_ENOMEM;
    int found = pcre2_match(regex->code, (PCRE2_SPTR)(text_len ? text : ""), text_len, 0, 0, data,
                            regex->limits);
    int rc = 0;
    if (found > 0 && group <= regex->groups) {
        const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(data);
        rc = 1;
        *at = vector[2 * group] == PCRE2_UNSET ? SIZE_MAX : vector[2 * group];
        *len = *at == SIZE_MAX ? 0 : vector[2 * group + 1] - vector[2 * group];
    } else if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        rc = give_up(found, why);
    }
    pcre2_match_data_free(data);
    return rc;
}
