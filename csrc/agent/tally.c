#include "agent/tally.h"

#include <string.h>

#include "agent/fleet.h"
#include "base/mem.h"

#define FIRST_ROOM 8
#define LAST_NS (540ULL * 1000000000ULL) /* a cell's buckets reach over nine minutes */

/* An open hash table over an array of entries: places hold an entry's number + 1. */
typedef struct table {
    uint32_t *places; /* twice the room, a power of two */
    uint64_t *hashes; /* of the entries */
    uint32_t room;    /* for entries */
} table;

struct opf_tally_index {
    table cells, failures, raises;
};

typedef bool same_fn(const opf_tally *tally, uint32_t i, const void *key);

opf_tally *opf_tally_new(opf_plan *plan, int64_t second)
{
    opf_tally *tally = opf_mem_zalloc(sizeof(*tally));
    if (!tally)
        return NULL;
    tally->index = opf_mem_zalloc(sizeof(*tally->index));
    if (!tally->index) {
        opf_mem_free(tally);
        return NULL;
    }
    opf_list_init(&tally->link);
    tally->second = second;
    tally->plan = plan;
    opf_plan_hold(plan);
    return tally;
}

static void table_fini(table *t)
{
    opf_mem_free(t->places);
    opf_mem_free(t->hashes);
}

static void cell_fini(opf_tally_cell *cell)
{
    opf_mem_free(cell->method);
    opf_mem_free(cell->name);
    opf_cell_fini(&cell->cell);
}

static void failure_fini(opf_tally_failure *failure)
{
    opf_mem_free(failure->url);
    opf_mem_free(failure->text);
}

static void raise_fini(opf_tally_raise *raise)
{
    opf_mem_free(raise->type);
    opf_mem_free(raise->text);
    opf_mem_free(raise->line);
    opf_mem_free(raise->task);
}

void opf_tally_free(opf_tally *tally)
{
    if (!tally)
        return;
    for (uint32_t i = 0; i < tally->n_cells; i++)
        cell_fini(&tally->cells[i]);
    for (uint32_t i = 0; i < tally->n_failures; i++)
        failure_fini(&tally->failures[i]);
    for (uint32_t i = 0; i < tally->n_raises; i++)
        raise_fini(&tally->raises[i]);
    opf_mem_free(tally->cells);
    opf_mem_free(tally->failures);
    opf_mem_free(tally->raises);
    table_fini(&tally->index->cells);
    table_fini(&tally->index->failures);
    table_fini(&tally->index->raises);
    opf_mem_free(tally->index);
    opf_plan_release((opf_plan *)tally->plan);
    opf_mem_free(tally);
}

/* FNV-1a */
#define HASH_START 14695981039346656037ULL

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 1099511628211ULL;
    return (hash ^ 0xff) * 1099511628211ULL; /* where one ends, the next begins */
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return text ? hash_bytes(hash, text, strlen(text)) : hash_bytes(hash, "\1", 1);
}

static void place(table *t, uint64_t hash, uint32_t i)
{
    uint32_t mask = t->room * 2 - 1;
    uint32_t at = (uint32_t)(hash >> 20) & mask;
    while (t->places[at])
        at = (at + 1) & mask;
    t->places[at] = i + 1;
    t->hashes[i] = hash;
}

static uint32_t find(const opf_tally *tally, const table *t, uint64_t hash, same_fn *same,
                     const void *key)
{
    if (!t->room)
        return OPF_NOTHING;
    uint32_t mask = t->room * 2 - 1;
    uint32_t at = (uint32_t)(hash >> 20) & mask;
    for (; t->places[at]; at = (at + 1) & mask) {
        uint32_t i = t->places[at] - 1;
        if (t->hashes[i] == hash && same(tally, i, key))
            return i;
    }
    return OPF_NOTHING;
}

/* Makes room for one more of n entries. Returns 0 or OPF_ENOMEM with all as it was. */
static int make_room(table *t, uint32_t n, void **entries, size_t size)
{
    if (n < t->room)
        return 0;
    uint32_t room = t->room ? t->room * 2 : FIRST_ROOM;
    if (room > UINT32_MAX / 4)
        return OPF_ENOMEM;
    void *grown = opf_mem_realloc(*entries, room * size);
    if (!grown)
        return OPF_ENOMEM;
    *entries = grown;
    uint64_t *hashes = opf_mem_realloc(t->hashes, room * sizeof(*hashes));
    if (!hashes)
        return OPF_ENOMEM;
    t->hashes = hashes;
    uint32_t *places = opf_mem_zalloc((size_t)room * 2 * sizeof(*places));
    if (!places)
        return OPF_ENOMEM;
    opf_mem_free(t->places);
    t->places = places;
    t->room = room;
    for (uint32_t i = 0; i < n; i++)
        place(t, hashes[i], i);
    return 0;
}

/* A NUL-terminated copy of bytes. */
static char *copy_bytes(const char *text, size_t len)
{
    char *copy = len < UINT32_MAX ? opf_mem_alloc(len + 1) : NULL;
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

typedef struct cell_key {
    const char *method, *name;
    size_t name_len;
} cell_key;

static bool same_cell(const opf_tally *tally, uint32_t i, const void *arg)
{
    const opf_tally_cell *cell = &tally->cells[i];
    const cell_key *key = arg;
    return cell->name_len == key->name_len && memcmp(cell->name, key->name, key->name_len) == 0 &&
           strcmp(cell->method, key->method) == 0;
}

static uint32_t add_cell(opf_tally *tally, const cell_key *key, uint64_t hash)
{
    void *entries = tally->cells;
    int ret = make_room(&tally->index->cells, tally->n_cells, &entries, sizeof(*tally->cells));
    tally->cells = entries;
    if (ret != 0)
        return OPF_NOTHING;
    opf_tally_cell *cell = &tally->cells[tally->n_cells];
    *cell = (opf_tally_cell){.method = opf_mem_strdup(key->method),
                             .name = copy_bytes(key->name, key->name_len),
                             .name_len = (uint32_t)key->name_len};
    if (!cell->method || !cell->name) {
        cell_fini(cell);
        return OPF_NOTHING;
    }
    place(&tally->index->cells, hash, tally->n_cells);
    return tally->n_cells++;
}

int opf_tally_name(opf_tally *tally, const char *method, const char *name, size_t name_len,
                   uint32_t *cell)
{
    cell_key key = {method, name_len ? name : "", name_len};
    uint64_t hash = hash_bytes(hash_text(HASH_START, method), key.name, name_len);
    uint32_t i = find(tally, &tally->index->cells, hash, same_cell, &key);
    if (i == OPF_NOTHING)
        i = add_cell(tally, &key, hash);
    if (i == OPF_NOTHING) {
        tally->lost++;
        return OPF_ENOMEM;
    }
    *cell = i;
    return 0;
}

int opf_tally_count(opf_tally *tally, const char *method, const char *name, size_t name_len,
                    uint64_t ns, uint64_t bytes, double last, uint32_t *cell)
{
    if (opf_tally_name(tally, method, name, name_len, cell) != 0)
        return OPF_ENOMEM;
    opf_tally_cell *found = &tally->cells[*cell];
    if (opf_cell_add(&found->cell, ns < LAST_NS ? ns : LAST_NS, bytes) != 0) {
        tally->lost++;
        return OPF_ENOMEM;
    }
    found->last = last;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_failure(const opf_tally *tally, uint32_t i, const void *arg)
{
    const opf_tally_failure *a = &tally->failures[i], *b = arg;
    return a->cell == b->cell && a->fault == b->fault && a->failure == b->failure &&
           a->phase == b->phase && a->err == b->err && same_text(a->detail, b->detail) &&
           a->reused == b->reused && a->status == b->status && same_text(a->url, b->url) &&
           !a->text == !b->text && a->text_len == b->text_len &&
           (!a->text || memcmp(a->text, b->text, a->text_len) == 0) &&
           !(a->connect_s < b->connect_s || a->connect_s > b->connect_s) &&
           !(a->network_s < b->network_s || a->network_s > b->network_s) && a->limit == b->limit;
}

static uint64_t hash_failure(const opf_tally_failure *f)
{
    int64_t numbers[] = {f->cell,   f->fault,  f->failure,           f->phase, f->err,
                         f->reused, f->status, (int64_t)f->text_len, !f->text};
    uint64_t hash = hash_bytes(HASH_START, numbers, sizeof(numbers));
    hash = hash_text(hash_text(hash, f->detail), f->url);
    return hash_bytes(hash, f->text, f->text ? f->text_len : 0);
}

static uint32_t add_failure(opf_tally *tally, const opf_tally_failure *failure, uint64_t hash)
{
    void *entries = tally->failures;
    int ret =
        make_room(&tally->index->failures, tally->n_failures, &entries, sizeof(*tally->failures));
    tally->failures = entries;
    if (ret != 0)
        return OPF_NOTHING;
    opf_tally_failure *added = &tally->failures[tally->n_failures];
    *added = *failure;
    added->count = 0;
    added->url = failure->url ? opf_mem_strdup(failure->url) : NULL;
    added->text = failure->text ? copy_bytes(failure->text, failure->text_len) : NULL;
    if (!added->url != !failure->url || !added->text != !failure->text) {
        failure_fini(added);
        return OPF_NOTHING;
    }
    place(&tally->index->failures, hash, tally->n_failures);
    return tally->n_failures++;
}

void opf_tally_fail(opf_tally *tally, const opf_tally_failure *failure)
{
    uint64_t hash = hash_failure(failure);
    uint32_t i = find(tally, &tally->index->failures, hash, same_failure, failure);
    if (i == OPF_NOTHING)
        i = add_failure(tally, failure, hash);
    if (i == OPF_NOTHING)
        tally->lost++;
    else
        tally->failures[i].count++;
}

typedef struct raise_key {
    const char *type, *text, *line, *task;
    size_t text_len;
} raise_key;

static bool same_raise(const opf_tally *tally, uint32_t i, const void *arg)
{
    const opf_tally_raise *raise = &tally->raises[i];
    const raise_key *key = arg;
    return strcmp(raise->type, key->type) == 0 && strcmp(raise->line, key->line) == 0 &&
           strcmp(raise->task, key->task) == 0 && strlen(raise->text) == key->text_len &&
           memcmp(raise->text, key->text, key->text_len) == 0;
}

static uint32_t add_raise(opf_tally *tally, const raise_key *key, uint64_t hash)
{
    void *entries = tally->raises;
    int ret = make_room(&tally->index->raises, tally->n_raises, &entries, sizeof(*tally->raises));
    tally->raises = entries;
    if (ret != 0)
        return OPF_NOTHING;
    opf_tally_raise *raise = &tally->raises[tally->n_raises];
    *raise = (opf_tally_raise){.type = opf_mem_strdup(key->type),
                               .text = copy_bytes(key->text, key->text_len),
                               .line = opf_mem_strdup(key->line),
                               .task = opf_mem_strdup(key->task)};
    if (!raise->type || !raise->text || !raise->line || !raise->task) {
        raise_fini(raise);
        return OPF_NOTHING;
    }
    place(&tally->index->raises, hash, tally->n_raises);
    return tally->n_raises++;
}

void opf_tally_raised(opf_tally *tally, const char *type, const char *text, size_t text_len,
                      const char *line, const char *task)
{
    const char *nul = text_len ? memchr(text, '\0', text_len) : NULL;
    raise_key key = {type, text_len ? text : "", line, task, nul ? (size_t)(nul - text) : text_len};
    uint64_t hash = hash_text(hash_text(hash_text(HASH_START, type), line), task);
    hash = hash_bytes(hash, key.text, key.text_len);
    uint32_t i = find(tally, &tally->index->raises, hash, same_raise, &key);
    if (i == OPF_NOTHING)
        i = add_raise(tally, &key, hash);
    if (i == OPF_NOTHING)
        tally->lost++;
    else
        tally->raises[i].count++;
}
