#include "base/blocks.h"

#include <stdalign.h>
#include <string.h>

#include "base/mem.h"

#define SIZES (OPF_BLOCKS_LARGEST / OPF_BLOCKS_STEP)

/* What stands before the bytes that are the caller's. */
struct opf_block {
    size_t size; /* of the block, this included */
    alignas(max_align_t) union {
        opf_block *next;
        char bytes[1];
    } is;
};

#define HEADER offsetof(struct opf_block, is)

static opf_block *block_of(void *p)
{
    return (opf_block *)(void *)((char *)p - HEADER);
}

void opf_blocks_init(opf_blocks *blocks, uint32_t kept)
{
    *blocks = (opf_blocks){.kept = kept};
}

void opf_blocks_fini(opf_blocks *blocks)
{
    for (size_t i = 0; i < SIZES; i++) {
        opf_block *block;
        while ((block = blocks->spare[i].first)) {
            blocks->spare[i].first = block->is.next;
            opf_mem_free(block);
        }
        blocks->spare[i].n = 0;
    }
}

void *opf_blocks_alloc(opf_blocks *blocks, size_t size)
{
    opf_block *block;
    if (size > SIZE_MAX - HEADER - OPF_BLOCKS_STEP)
        return NULL;
    size += HEADER;
    if (size <= OPF_BLOCKS_LARGEST) {
        size_t i = (size - 1) / OPF_BLOCKS_STEP;
        block = blocks->spare[i].first;
        if (block) {
            blocks->spare[i].first = block->is.next;
            blocks->spare[i].n--;
            return block->is.bytes;
        }
        size = (i + 1) * OPF_BLOCKS_STEP;
    }
    block = opf_mem_alloc(size);
    if (!block)
        return NULL;
    block->size = size;
    return block->is.bytes;
}

void opf_blocks_free(opf_blocks *blocks, void *p)
{
    if (!p)
        return;
    opf_block *block = block_of(p);
    if (block->size <= OPF_BLOCKS_LARGEST) {
        size_t i = block->size / OPF_BLOCKS_STEP - 1;
        if (blocks->spare[i].n < blocks->kept) {
            block->is.next = blocks->spare[i].first;
            blocks->spare[i].first = block;
            blocks->spare[i].n++;
            return;
        }
    }
    opf_mem_free(block);
}

void *opf_blocks_realloc(opf_blocks *blocks, void *p, size_t size)
{
    if (!p)
        return opf_blocks_alloc(blocks, size);
    size_t had = block_of(p)->size - HEADER;
    if (size <= had)
        return p;
    void *other = opf_blocks_alloc(blocks, size);
    if (!other)
        return NULL;
    memcpy(other, p, had);
    opf_blocks_free(blocks, p);
    return other;
}
