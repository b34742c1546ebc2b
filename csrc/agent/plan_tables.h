/* The parts of plan.c: checking a plan's tables, preparing them and giving them back. One thread.
 */
#ifndef OPF_AGENT_PLAN_TABLES_H
#define OPF_AGENT_PLAN_TABLES_H

#include "agent/plan.h"

/* Frees all that a plan holds; a table that is only partly filled in has zeros where nothing is. */
void opf_plan_free_tables(opf_plan *plan);

/* Check the instructions of a program, whose line numbers, tables and requests may not be checked
 * yet. Return 0, OPF_ENOMEM, or OPF_EINVAL with *why. */
int opf_plan_check_program(const opf_plan *plan, const opf_program *program, opf_why *why);

/* Joins what of a checked request's headers does not vary. Returns 0 or OPF_ENOMEM. */
int opf_plan_join_headers(opf_request_plan *request);

/* True when a value has a byte that would end its header's line, or that none may have. */
bool opf_header_breaks_line(const void *value, size_t len);

/* True when a header with this value asks the server to close the connection. */
bool opf_header_closes(const opf_request_header *header, const void *value, size_t len);

/* True when the operand is a register or a constant of the plan. */
bool opf_plan_has(const opf_plan *plan, opf_operand operand);

#endif
