#include "agent/eval.h"
#include "base/mem.h"

#define BLOCK_MIN 4096
#define BLOCK_KEPT_MAX 65536 /* there may be many thousand arenas */

struct opf_arena_block {
    struct opf_arena_block *next;
    size_t size, used;
    max_align_t data[];
};

void *opf_arena_alloc(opf_arena *arena, size_t len)
{
    if (len > OPF_ARENA_MAX || arena->used > OPF_ARENA_MAX - len)
        return NULL;
    size_t need = (len + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct opf_arena_block *block = arena->blocks;
    if (!block || block->size - block->used < need) {
        size_t size = need > BLOCK_MIN ? need : BLOCK_MIN;
        block = opf_mem_alloc(sizeof(*block) + size);
        if (!block)
            return NULL;
        block->next = arena->blocks;
        block->size = size;
        block->used = 0;
        arena->blocks = block;
    }
    char *found = (char *)block->data + block->used;
    block->used += need;
    arena->used += need;
    return found;
}

static void free_from(struct opf_arena_block *block)
{
    while (block) {
        struct opf_arena_block *next = block->next;
        opf_mem_free(block);
        block = next;
    }
}

void opf_arena_clear(opf_arena *arena)
{
    struct opf_arena_block *block = arena->blocks;
    if (block && block->size > BLOCK_KEPT_MAX) {
        opf_arena_fini(arena);
    } else if (block) {
        free_from(block->next);
        block->next = NULL;
        block->used = 0;
    }
    arena->used = 0;
}

void opf_arena_fini(opf_arena *arena)
{
    free_from(arena->blocks);
    arena->blocks = NULL;
    arena->used = 0;
}
