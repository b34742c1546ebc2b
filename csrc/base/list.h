/* Intrusive doubly linked lists.
 *
 * A node lives inside the structure that it links, a list is a node of its own that links to itself
 * while empty. Nothing is allocated and nothing fails. Threads: that of the list's owner.
 */
#ifndef OPF_BASE_LIST_H
#define OPF_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct opf_node {
    struct opf_node *prev;
    struct opf_node *next;
} opf_node;

typedef opf_node opf_list;

/* The structure of the given type whose member is the node at ptr. */
#define OPF_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void opf_list_init(opf_list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool opf_list_empty(const opf_list *list)
{
    return list->next == list;
}

/* True while the node, set up with opf_list_init, is in a list. */
static inline bool opf_node_linked(const opf_node *node)
{
    return node->next != node;
}

static inline void opf_list_push_back(opf_list *list, opf_node *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

static inline void opf_list_push_front(opf_list *list, opf_node *node)
{
    node->next = list->next;
    node->prev = list;
    list->next->prev = node;
    list->next = node;
}

/* Takes the node out of its list; a node that is in none stays as it is. */
static inline void opf_list_remove(opf_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    opf_list_init(node);
}

/* Takes out and returns the first node; NULL from an empty list. */
static inline opf_node *opf_list_pop_front(opf_list *list)
{
    opf_node *node = list->next;
    if (node == list)
        return NULL;
    opf_list_remove(node);
    return node;
}

#endif
