/* Cells of statistics: declared in opf.h, since drivers keep them. */
#ifndef OPF_STATS_CELL_H
#define OPF_STATS_CELL_H

#include "opf.h"

#endif
