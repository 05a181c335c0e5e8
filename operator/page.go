package operator

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/url"
	"strconv"
)

// pageSize is the most that the API gives at once.
const pageSize = 1000

// Collect returns all items of a list or, where it broke off, those before and the error.
func Collect[Item any](list iter.Seq2[Item, error]) ([]Item, error) {
	all := []Item{}
	for item, err := range list {
		if err != nil {
			return all, err
		}
		all = append(all, item)
	}
	return all, nil
}

// pages follows the pages of a list to its end. Open returns the items of a page and the token of the next one.
func pages[Page, Item any](ctx context.Context, c *Client, path []string, filters url.Values, open func(Page) ([]Item, string)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		query := maps.Clone(filters) // the iterator may be used again
		query.Set("limit", strconv.Itoa(pageSize))
		var none Item
		for {
			page, err := call[Page](ctx, c, request{path: path, query: query})
			if err != nil {
				yield(none, err)
				return
			}
			items, next := open(page)
			if items == nil {
				yield(none, c.notTheAPI("the list of "+path[len(path)-1]))
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			if next == query.Get("pageToken") {
				yield(none, errors.New("the server gave one page of the list twice"))
				return
			}
			query.Set("pageToken", next)
		}
	}
}
