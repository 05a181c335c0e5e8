// Package differential has no code, only tests: the strict readers of this project are given the same bytes
// as the libraries of others, and may accept nothing that those refuse.
package differential
