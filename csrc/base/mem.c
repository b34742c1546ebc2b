#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifdef OPF_FAULTS
static long fail_after = -1;

void opf_mem_fail_after(long n)
{
    fail_after = n;
}

static int fails_now(void)
{
    if (fail_after < 0)
        return 0;
    return fail_after-- == 0;
}
#else
static int fails_now(void)
{
    return 0;
}
#endif

void *opf_mem_alloc(size_t size)
{
    return fails_now() ? NULL : malloc(size);
}

void *opf_mem_zalloc(size_t size)
{
    return fails_now() ? NULL : calloc(1, size);
}

void *opf_mem_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : realloc(p, size);
}

void opf_mem_free(void *p)
{
    free(p);
}

char *opf_mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = opf_mem_alloc(size);
    if (copy)
        memcpy(copy, s, size);
    return copy;
}
