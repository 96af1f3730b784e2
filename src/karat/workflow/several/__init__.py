"""Several runs at once: trained with one seed after another, and judged side by side."""
