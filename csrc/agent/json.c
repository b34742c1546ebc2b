#include "agent/json.h"

#include <math.h>
#include <stdlib.h>

#include "agent/number.h"
#include "agent/utf8.h"

#define KEY_MAX 126 /* bytes of a key that is looked for as it stands */
#define LOOK 256    /* bytes that are looked at together */

typedef struct cursor {
    const char *p, *end;
    bool bad;
} cursor;

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
}

static void skip_string(cursor *c)
{
    for (c->p++; c->p < c->end && *c->p != '"'; c->p++)
        if (*c->p == '\\' && ++c->p == c->end)
            break;
    c->bad = c->bad || c->p == c->end;
    c->p += c->p < c->end;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_value(cursor *c)
{
    size_t depth = 0;
    const char *from = c->p;
    do {
        if (c->p == c->end) {
            c->bad = true;
            return;
        }
        if (*c->p == '"') {
            skip_string(c);
        } else if (*c->p == '{' || *c->p == '[') {
            depth++;
            c->p++;
        } else if (depth == 0) {
            while (c->p < c->end && !ends_scalar(*c->p))
                c->p++;
        } else {
            depth -= *c->p == '}' || *c->p == ']';
            c->p++;
        }
    } while (depth && !c->bad);
    c->bad = c->bad || c->p == from;
}

/* Goes to the next member of the container whose bracket is behind: sets key, and stands at the
 * member. Returns false behind the closing bracket, or when bad. */
static bool to_member(cursor *c, bool object, bool first, opf_json_raw *key)
{
    skip_space(c);
    if (c->p < c->end && *c->p == (object ? '}' : ']')) {
        c->p++;
        return false;
    }
    if (!first) {
        c->bad = c->bad || c->p == c->end || *c->p != ',';
        c->p += !c->bad;
        skip_space(c);
    }
    if (object && !c->bad) {
        c->bad = c->p == c->end || *c->p != '"';
        key->s = c->p;
        if (!c->bad)
            skip_string(c);
        key->len = (size_t)(c->p - key->s);
        skip_space(c);
        c->bad = c->bad || c->p == c->end || *c->p != ':';
        c->p += !c->bad;
        skip_space(c);
    }
    c->bad = c->bad || c->p == c->end;
    return !c->bad;
}

static bool is_container(const cursor *c)
{
    return c->p < c->end && (*c->p == '{' || *c->p == '[');
}

bool opf_json_next(const opf_value *json, size_t *at, opf_json_raw *key, opf_json_raw *member)
{
    cursor c = {json->s + *at, json->s + json->len, false};
    bool first = *at == 0;
    if (first) {
        skip_space(&c);
        if (!is_container(&c))
            return false;
        c.p++;
    }
    cursor start = {json->s, json->s + json->len, false};
    skip_space(&start);
    *key = (opf_json_raw){NULL, 0};
    if (!to_member(&c, *start.p == '{', first, key))
        return false;
    member->s = c.p;
    skip_value(&c);
    member->len = (size_t)(c.p - member->s);
    *at = (size_t)(c.p - json->s);
    return !c.bad;
}

/* Texts */

static int hex_of(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* The four digits behind \u; -1: they are none. */
static int32_t read_u16(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The bytes that the next of a text between its quotes stands for. Returns their number; 0: bad. */
static size_t next_piece(const char **p, const char *end, char out[4])
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (**p != '\\') {
        out[0] = *(*p)++;
        return 1;
    }
    if (end - *p < 2)
        return 0;
    char escape = (*p)[1];
    *p += 2;
    const char *found = escape ? strchr(escapes, escape) : NULL;
    if (found) {
        out[0] = meant[found - escapes];
        return 1;
    }
    int32_t c = escape == 'u' ? read_u16(*p, end) : -1;
    if (c < 0)
        return 0;
    *p += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        int32_t low = read_u16(*p + 2, end);
        if (low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            *p += 6;
        }
    }
    return opf_utf8_put(out, (uint32_t)c);
}

bool opf_json_is_text(opf_json_raw raw, const char *s, size_t len)
{
    if (raw.len < 2 || *raw.s != '"')
        return false;
    const char *p = raw.s + 1, *end = raw.s + raw.len - 1;
    if (!memchr(p, '\\', (size_t)(end - p)))
        return (size_t)(end - p) == len && (len == 0 || memcmp(p, s, len) == 0);
    size_t at = 0;
    while (p < end) {
        char out[4];
        size_t n = next_piece(&p, end, out);
        if (n == 0 || n > len - at || memcmp(out, s + at, n) != 0)
            return false;
        at += n;
    }
    return at == len;
}

/* FNV-1a of the text that a key stands for, in 64 bits: so large that two keys differ in it. */
static uint64_t hash_of(opf_json_raw key)
{
    uint64_t hash = 0xCBF29CE484222325U;
    const char *p = key.s + 1, *end = key.s + key.len - 1;
    size_t n = 1;
    while (p < end && n) {
        char piece[4];
        n = next_piece(&p, end, piece);
        for (size_t i = 0; i < n; i++)
            hash = (hash ^ (uint8_t)piece[i]) * 0x100000001B3U;
    }
    return hash;
}

static int order_of(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

int opf_json_count(const opf_value *json, opf_arena *arena, uint32_t *n)
{
    uint32_t members = 0, i = 0;
    bool object = false;
    opf_json_raw key, member;
    for (size_t at = 0; opf_json_next(json, &at, &key, &member); members++)
        object = key.s != NULL;
    *n = members;
    if (members < 2 || !object)
        return 0;
    uint64_t *hashes = opf_arena_alloc(arena, members * sizeof(*hashes));
    if (!hashes)
        return OPF_ENOMEM;
    for (size_t at = 0; i < members && opf_json_next(json, &at, &key, &member); i++)
        hashes[i] = hash_of(key);
    qsort(hashes, i, sizeof(*hashes), order_of);
    for (uint32_t j = 1; j < i; j++)
        *n -= hashes[j] == hashes[j - 1];
    return 0;
}

static int text_value(opf_json_raw raw, opf_arena *arena, opf_value *value)
{
    const char *p = raw.s + 1, *end = raw.s + raw.len - 1;
    size_t len = (size_t)(end - p), n = 0;
    if (!memchr(p, '\\', len)) {
        *value = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)len, .s = p};
        return 0;
    }
    char *out = opf_arena_alloc(arena, len);
    if (!out)
        return OPF_ENOMEM;
    while (p < end) {
        char piece[4];
        size_t more = next_piece(&p, end, piece);
        if (more == 0)
            return 0;
        memcpy(out + n, piece, more); /* never longer than what stands for it */
        n += more;
    }
    *value = (opf_value){.kind = OPF_TEXT, .len = (uint32_t)n, .s = out};
    return 0;
}

/* Numbers */

static size_t count_digits(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

/* Length of the number that s begins with; 0: none. */
static size_t number_length(const char *s, size_t len, bool *whole)
{
    size_t at = len && *s == '-';
    size_t n = count_digits(s + at, len - at);
    if (n == 0)
        return 0;
    at += s[at] == '0' ? 1 : n;
    *whole = true;
    size_t more = at < len && s[at] == '.' ? count_digits(s + at + 1, len - at - 1) : 0;
    if (more) {
        at += 1 + more;
        *whole = false;
    }
    if (at < len && (s[at] | 32) == 'e') {
        size_t sign = at + 1 < len && (s[at + 1] == '-' || s[at + 1] == '+');
        more = count_digits(s + at + 1 + sign, len - at - 1 - sign);
        if (more) {
            at += 1 + sign + more;
            *whole = false;
        }
    }
    return at;
}

static const struct {
    const char *word;
    opf_value value;
} words[] = {
    {"true", {.kind = OPF_BOOL, .b = true}},
    {"false", {.kind = OPF_BOOL, .b = false}},
    {"null", {.kind = OPF_NONE}},
    {"NaN", {.kind = OPF_FLOAT, .f = NAN}},
    {"Infinity", {.kind = OPF_FLOAT, .f = INFINITY}},
    {"-Infinity", {.kind = OPF_FLOAT, .f = -INFINITY}},
};

/* Length of the word that s begins with; 0: none. */
static size_t word_length(const char *s, size_t len, opf_value *value)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t n = strlen(words[i].word);
        if (n <= len && memcmp(words[i].word, s, n) == 0) {
            *value = words[i].value;
            return n;
        }
    }
    return 0;
}

static int scalar_value(opf_json_raw raw, opf_value *value)
{
    opf_value found = {.kind = OPF_UNSET};
    const char *why;
    bool whole;
    if (number_length(raw.s, raw.len, &whole) == raw.len) {
        int rc = whole ? opf_number_read_int(raw.s, raw.len, &found.i, &why)
                       : opf_number_read_float(raw.s, raw.len, &found.f, &why);
        if (rc == OPF_EINVAL && whole)
            return rc;
        if (rc == 0)
            found.kind = whole ? OPF_INT : OPF_FLOAT;
    } else if (word_length(raw.s, raw.len, &found) != raw.len) {
        found.kind = OPF_UNSET;
    }
    *value = found;
    return 0;
}

static void check_value(cursor *c, unsigned depth);

/* Whether an object or array can be read whole, as json.loads would before it gave any of it. */
static bool is_whole(opf_json_raw raw)
{
    cursor c = {raw.s, raw.s + raw.len, false};
    check_value(&c, 0);
    return !c.bad && c.p == c.end;
}

int opf_json_value(opf_json_raw raw, opf_arena *arena, opf_value *value)
{
    *value = (opf_value){.kind = OPF_UNSET};
    if (raw.len == 0 || raw.len > UINT32_MAX)
        return 0;
    if (*raw.s == '"')
        return raw.len >= 2 ? text_value(raw, arena, value) : 0;
    if (*raw.s != '{' && *raw.s != '[')
        return scalar_value(raw, value);
    if (is_whole(raw))
        *value = (opf_value){.kind = OPF_JSON, .len = (uint32_t)raw.len, .s = raw.s};
    return 0;
}

/* Finding */

typedef struct finding {
    cursor c;
    opf_json_want *wants;
    uint32_t n, left;
    opf_arena *arena;
    bool settled; /* all is found, and nothing of it stands once more */
    int rc;
} finding;

static bool is_over(const finding *f)
{
    return f->c.bad || f->settled || f->rc != 0;
}

static bool waits_at(const opf_json_want *want, uint32_t depth)
{
    return !want->found && want->matched == depth && want->path->n > depth;
}

typedef signed char lanes __attribute__((vector_size(16)));

static lanes lanes_at(const char *s)
{
    lanes made;
    memcpy(&made, s, sizeof(made));
    return made;
}

/* Whether the first two and the last byte of the text a stand somewhere in the LOOK bytes at s as
 * they do in a. */
static bool may_stand_at(const char *a, size_t len, const char *s)
{
    const lanes none = {0};
    const lanes first = none + (signed char)a[0], second = none + (signed char)a[1];
    const lanes last = none + (signed char)a[len - 1];
    lanes found = none;
    for (size_t i = 0; i < LOOK; i += sizeof(lanes))
        found |= (lanes_at(s + i) == first) & (lanes_at(s + i + 1) == second) &
                 (lanes_at(s + i + len - 1) == last);
    return memcmp(&found, &none, sizeof(found)) != 0;
}

/* The text a in b, or NULL: faster than memmem by far where it is not there. */
static const char *find_in(const char *a, size_t len, const char *b, const char *end)
{
    while ((size_t)(end - b) >= LOOK + len) {
        const char *at = may_stand_at(a, len, b) ? memmem(b, LOOK + len - 1, a, len) : NULL;
        if (at)
            return at;
        b += LOOK;
    }
    return memmem(b, (size_t)(end - b), a, len);
}

/* Whether a character of a key may stand as an escape in a text: of one beyond ASCII, and of those
 * that have a short one, any escape may be it. */
static bool may_be_escaped(const char *key, size_t len, const char *s, const char *end)
{
    bool plain = true;
    s = memchr(s, '\\', (size_t)(end - s));
    if (!s)
        return false;
    for (size_t i = 0; i < len; i++)
        plain = plain && key[i] >= ' ' && !strchr("\"\\/\x7F", key[i]);
    while (plain && (s = find_in("\\u00", 4, s, end))) {
        s += 2;
        int32_t c = read_u16(s, end);
        plain = c <= 0 || !memchr(key, c, len);
    }
    return !plain;
}

/* Whether a key may stand in what was not read yet. */
static bool may_follow(const finding *f, const opf_step *step)
{
    const char *s = f->c.p, *end = f->c.end;
    char quoted[KEY_MAX + 2];
    if (step->len > KEY_MAX)
        return true;
    quoted[0] = quoted[step->len + 1] = '"';
    memcpy(quoted + 1, step->key, step->len);
    return find_in(quoted, step->len + 2, s, end) || may_be_escaped(step->key, step->len, s, end);
}

/* Whether what was found may be other than what counts: of the members of an object that have the
 * same key the last does, and the objects under way are those of the first steps, to `depth`. */
static bool may_be_replaced(const finding *f, uint32_t depth)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const opf_path *path = f->wants[i].path;
        for (uint32_t j = 0; j <= depth && j < path->n; j++)
            if (path->steps[j].key && may_follow(f, &path->steps[j]))
                return true;
    }
    return false;
}

/* Forgets what an earlier member of the same key had. */
static void forget(finding *f, opf_json_want *want)
{
    f->left += want->found;
    want->found = false;
    want->value = (opf_value){.kind = OPF_UNSET};
}

/* Members of the array whose bracket is behind, if a path counts from its end. */
static int64_t count_ahead(const finding *f, uint32_t depth)
{
    bool counts = false;
    for (uint32_t i = 0; i < f->n && !counts; i++)
        if (waits_at(&f->wants[i], depth)) {
            const opf_step *step = &f->wants[i].path->steps[depth];
            counts = !step->key && step->index < 0;
        }
    cursor c = f->c;
    opf_json_raw key;
    int64_t n = 0;
    while (counts && to_member(&c, false, n == 0, &key)) {
        skip_value(&c);
        n++;
    }
    return n;
}

static bool steps_to(const opf_step *step, bool object, opf_json_raw key, int64_t index,
                     int64_t total)
{
    if (object)
        return step->key && opf_json_is_text(key, step->key, step->len);
    return !step->key && (step->index < 0 ? total + step->index : step->index) == index;
}

static void find_value(finding *f, uint32_t depth);

static void find_members(finding *f, uint32_t depth)
{
    bool object = *f->c.p++ == '{';
    int64_t total = object ? 0 : count_ahead(f, depth);
    opf_json_raw key = {NULL, 0};
    for (int64_t index = 0; to_member(&f->c, object, index == 0, &key); index++) {
        bool any = false;
        for (uint32_t i = 0; i < f->n; i++) {
            opf_json_want *want = &f->wants[i];
            if (want->matched == depth && want->path->n > depth &&
                steps_to(&want->path->steps[depth], object, key, index, total)) {
                forget(f, want);
                want->matched = depth + 1;
                any = true;
            }
        }
        if (!any) {
            skip_value(&f->c);
            continue;
        }
        find_value(f, depth + 1);
        f->settled = f->left == 0 && !may_be_replaced(f, depth);
        if (is_over(f))
            return;
        for (uint32_t i = 0; i < f->n; i++)
            if (f->wants[i].matched == depth + 1)
                f->wants[i].matched = depth;
    }
}

static void take(finding *f, opf_json_want *want, const opf_value *value)
{
    want->value = *value;
    want->found = true;
    f->left--;
}

/* The characters of a text, where paths lead into it by indices. */
static void find_characters(finding *f, uint32_t depth, opf_json_raw raw)
{
    opf_value text = {.kind = OPF_UNSET};
    f->rc = opf_json_value(raw, f->arena, &text);
    for (uint32_t i = 0; i < f->n && text.kind == OPF_TEXT; i++) {
        opf_value value = text;
        uint32_t at = depth;
        if (!waits_at(&f->wants[i], depth))
            continue;
        const opf_path *path = f->wants[i].path;
        while (at < path->n && !path->steps[at].key &&
               opf_utf8_character(&value.s, &value.len, path->steps[at].index))
            at++;
        if (at == path->n)
            take(f, &f->wants[i], &value);
    }
}

/* Takes what stands at the cursor, as deep as the longest path goes. */
static void find_value(finding *f, uint32_t depth)
{
    const char *from = f->c.p;
    bool inside = false;
    for (uint32_t i = 0; i < f->n; i++)
        inside = inside || waits_at(&f->wants[i], depth);
    if (inside && is_container(&f->c))
        find_members(f, depth);
    else
        skip_value(&f->c);
    if (inside && !f->c.bad && *from == '"')
        find_characters(f, depth, (opf_json_raw){from, (size_t)(f->c.p - from)});
    for (uint32_t i = 0; i < f->n && !is_over(f); i++) {
        opf_json_want *want = &f->wants[i];
        if (want->found || want->matched != depth || want->path->n != depth)
            continue;
        opf_json_raw raw = {from, (size_t)(f->c.p - from)};
        opf_value value;
        f->rc = opf_json_value(raw, f->arena, &value);
        take(f, want, &value);
    }
}

static cursor begin(const char *s, size_t len)
{
    cursor c = {s, s + len, false};
    if (len >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0)
        c.p += 3;
    skip_space(&c);
    return c;
}

void opf_json_begin(const char *s, size_t len, opf_value *value)
{
    cursor c = begin(s, len);
    opf_json_raw raw = {c.p, (size_t)(c.end - c.p)};
    opf_value word;
    bool whole = true;
    *value = (opf_value){.kind = OPF_UNSET};
    if (raw.len && (is_container(&c) || *raw.s == '"'))
        *value = (opf_value){.kind = *raw.s == '"' ? OPF_TEXT : OPF_JSON, .len = 1, .s = raw.s};
    else if (raw.len && number_length(raw.s, raw.len, &whole))
        value->kind = whole ? OPF_INT : OPF_FLOAT;
    else if (raw.len && word_length(raw.s, raw.len, &word))
        value->kind = word.kind;
}

int opf_json_find(const char *s, size_t len, opf_json_want *wants, uint32_t n, opf_arena *arena)
{
    for (uint32_t i = 0; i < n; i++) {
        wants[i].value = (opf_value){.kind = OPF_UNSET};
        wants[i].matched = 0;
        wants[i].found = false;
    }
    if (len == 0 || n == 0)
        return 0;
    finding f = {begin(s, len), wants, n, n, arena, false, 0};
    find_value(&f, 0);
    return f.rc;
}

/* Validity */

static void check_string(cursor *c)
{
    c->p++;
    while (!c->bad && c->p < c->end && *c->p != '"') {
        char out[4];
        c->bad = (unsigned char)*c->p < 0x20 || next_piece(&c->p, c->end, out) == 0;
    }
    c->bad = c->bad || c->p == c->end;
    c->p += !c->bad;
}

static void check_container(cursor *c, unsigned depth)
{
    bool object = *c->p++ == '{';
    opf_json_raw key = {NULL, 0};
    for (bool first = true; !c->bad && to_member(c, object, first, &key); first = false) {
        if (object) {
            cursor text = {key.s, key.s + key.len, false};
            check_string(&text);
            c->bad = text.bad;
        }
        if (!c->bad)
            check_value(c, depth + 1);
    }
}

static void check_value(cursor *c, unsigned depth)
{
    opf_value value;
    bool whole;
    if (c->p == c->end || depth > OPF_JSON_DEPTH) {
        c->bad = true;
    } else if (is_container(c)) {
        check_container(c, depth);
    } else if (*c->p == '"') {
        check_string(c);
    } else {
        size_t left = (size_t)(c->end - c->p);
        size_t n = number_length(c->p, left, &whole);
        n = n ? n : word_length(c->p, left, &value);
        c->bad = n == 0;
        c->p += n;
    }
}

bool opf_json_valid(const char *s, size_t len)
{
    if (len == 0)
        return false;
    cursor c = begin(s, len);
    check_value(&c, 0);
    skip_space(&c);
    return !c.bad && c.p == c.end;
}
