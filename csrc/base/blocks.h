/* Small blocks of memory, kept for use again by one thread.
 *
 * For a library that allocates and frees the same few sizes for each request, in batches which are
 * larger than what malloc keeps at hand. A block knows its size; one of more than
 * OPF_BLOCKS_LARGEST bytes comes from malloc and goes back to it. Storage of the caller; what it
 * gave belongs to whoever asked, until it is freed to the same store.
 */
#ifndef OPF_BASE_BLOCKS_H
#define OPF_BASE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define OPF_BLOCKS_STEP 64U      /* sizes differ by so many bytes */
#define OPF_BLOCKS_LARGEST 1024U /* bytes with a block's own header */

/* Blocks of a size that an engine keeps at most: none where that would hide mistakes from the
 * sanitizers, or allocations from a test that has them fail. */
#if defined(OPF_FAULTS) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPF_BLOCKS_KEPT 0U
#else
#define OPF_BLOCKS_KEPT 1024U
#endif

typedef struct opf_block opf_block;

typedef struct opf_blocks {
    uint32_t kept; /* blocks of a size at most */
    struct {
        opf_block *first;
        uint32_t n;
    } spare[OPF_BLOCKS_LARGEST / OPF_BLOCKS_STEP];
} opf_blocks;

/* Sets up a store that keeps up to so many blocks of a size. It must outlive what it gives. */
void opf_blocks_init(opf_blocks *blocks, uint32_t kept);

/* Frees what is kept. */
void opf_blocks_fini(opf_blocks *blocks);

/* As malloc, realloc and free, of one thread; what one store gave goes back to the same. */
void *opf_blocks_alloc(opf_blocks *blocks, size_t size);
void *opf_blocks_realloc(opf_blocks *blocks, void *p, size_t size);
void opf_blocks_free(opf_blocks *blocks, void *p);

#endif
