// Package spelling finds the word that was meant by one that is not known.
package spelling

// Nearest returns the word in known that s is most likely to have been meant for, or "" when none is much like it.
func Nearest(s string, known []string) string {
	best, least := "", len(s)/3+1
	for _, k := range known {
		if d := distance(s, k); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
