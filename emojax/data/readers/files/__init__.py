"""Files as strangers write them: pictures, videos, tables, pickles, folders."""
