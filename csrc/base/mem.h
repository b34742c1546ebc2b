/* Allocation of the engine.
 *
 * All of the engine's memory comes from here, so that a test can make the n-th allocation fail and
 * a driver can count what is held. The functions behave as malloc(3) and its kin, from any thread.
 */
#ifndef OPF_BASE_MEM_H
#define OPF_BASE_MEM_H

#include <stddef.h>

/* Returns size bytes, uninitialised, or NULL. The caller owns them and gives them back with
 * opf_mem_free. */
void *opf_mem_alloc(size_t size);

/* As opf_mem_alloc, all bytes zero. */
void *opf_mem_zalloc(size_t size);

/* Resizes p (NULL: allocates). On NULL the old block stands, still owned by the caller. */
void *opf_mem_realloc(void *p, size_t size);

/* Frees p; NULL does nothing. */
void opf_mem_free(void *p);

/* Returns a heap copy of the NUL-terminated string s, or NULL. The caller owns it. */
char *opf_mem_strdup(const char *s);

#ifdef OPF_FAULTS
/* For tests only: lets the next n allocations of the process pass and fails the one after them,
 * once; n < 0 switches failing off. Not thread-safe. Returns nothing. */
void opf_mem_fail_after(long n);
#endif

#endif
