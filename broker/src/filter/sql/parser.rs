//! From words to a program, in one pass.
//!
//! ```text
//! or         = and { OR and }
//! and        = equality { AND equality }
//! equality   = comparison { "=" comparison | "<>" comparison | IS [NOT] NULL }
//! comparison = unary { (">" | ">=" | "<" | "<=") unary | [NOT] BETWEEN unary AND unary
//!                    | [NOT] IN "(" text { "," text } ")"
//!                    | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text }
//! unary      = ("+" | "-" | NOT) unary | primary
//! primary    = text | number | TRUE | FALSE | NULL | name | "(" or ")"
//! ```
//!
//! Java quirk: the end of the text is not asked for; whatever follows a complete expression is
//! ignored (`what_follows_a_complete_expression_is_ignored`).

use memchr::memmem::Finder;

use super::SqlError;
use super::eval::{Comparison, Constant, Op, Program, Range, Search, order_of_constants};
use super::lexer::{Lexer, Sign, Token, Word};
use super::names::Names;
use super::number;

/// Deepest nesting of brackets and prefixes.
const DEPTH_MAX: usize = 200;
/// Longest program.
const OPS_MAX: usize = 8192;

/// What an operand is, as far as operators care.
enum Operand {
    /// A literal, also in brackets.
    Constant(Constant),
    /// A property, also in brackets.
    Property,
    /// Anything that yields a truth value, except a literal.
    Truth,
    /// A negated value.
    Negated,
}

type Parsed<T> = Result<T, SqlError>;

/// Compiles an expression.
pub(super) fn compile(text: &str) -> Parsed<Program> {
    let lexer = Lexer::new(text);
    let mut parser =
        Parser { lexer, ahead: None, beyond: None, names: Vec::new(), ops: Vec::new(), depth: 0 };
    let operand = parser.or()?;
    parser.truth(&operand)?;
    Ok(parser.program())
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The word in front, once it has been looked at.
    ahead: Option<Token<'a>>,
    /// The one behind it.
    beyond: Option<Token<'a>>,
    names: Vec<&'a str>,
    ops: Vec<Op>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed<Operand> {
        let mut left = self.and()?;
        while self.peek()? == Token::Word(Word::Or) {
            self.take()?;
            self.truth(&left)?;
            let jump = self.emit(Op::JumpIf(true, 0))?;
            let right = self.and()?;
            self.truth(&right)?;
            self.emit(Op::Combine(false))?;
            self.land(jump);
            left = Operand::Truth;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Operand> {
        let mut left = self.equality()?;
        while self.peek()? == Token::Word(Word::And) {
            self.take()?;
            self.truth(&left)?;
            let jump = self.emit(Op::JumpIf(false, 0))?;
            let right = self.equality()?;
            self.truth(&right)?;
            self.emit(Op::Combine(true))?;
            self.land(jump);
            left = Operand::Truth;
        }
        Ok(left)
    }

    fn equality(&mut self) -> Parsed<Operand> {
        let mut left = self.comparison()?;
        loop {
            match self.peek()? {
                Token::Sign(sign @ (Sign::Equal | Sign::NotEqual)) => {
                    self.take()?;
                    let right = self.comparison()?;
                    self.check_equal(&left, &right)?;
                    self.emit(Op::Equal)?;
                    if sign == Sign::NotEqual {
                        self.emit(Op::Not)?;
                    }
                }
                Token::Word(Word::Is) => {
                    self.take()?;
                    let not = self.accept(Token::Word(Word::Not))?;
                    self.expect(Token::Word(Word::Null), "NULL expected")?;
                    self.emit(Op::Constant(Constant::Null))?;
                    self.emit(Op::Equal)?;
                    if not {
                        self.emit(Op::Not)?;
                    }
                }
                _ => return Ok(left),
            }
            left = Operand::Truth;
        }
    }

    fn comparison(&mut self) -> Parsed<Operand> {
        let start = self.ops.len();
        let mut left = self.unary()?;
        loop {
            let not = self.peek()? == Token::Word(Word::Not);
            let operator = if not { self.peek_beyond()? } else { self.peek()? };
            match operator {
                Token::Word(word @ (Word::Between | Word::In)) => {
                    self.skip_operator(not)?;
                    match word {
                        Word::Between => self.between(&left, not)?,
                        _ => self.list(&left, not)?,
                    }
                }
                Token::Word(word) => {
                    let search = match word {
                        Word::Contains => Search::Contains,
                        Word::StartsWith => Search::StartsWith,
                        Word::EndsWith => Search::EndsWith,
                        _ if not => return self.fail("an operator expected behind NOT"),
                        _ => return Ok(left),
                    };
                    self.skip_operator(not)?;
                    let needle = self.text()?;
                    self.search(start, search, needle, not)?;
                }
                _ if not => return self.fail("an operator expected behind NOT"),
                Token::Sign(sign) => {
                    let comparison = match sign {
                        Sign::Less => Comparison::Less,
                        Sign::LessEqual => Comparison::LessEqual,
                        Sign::Greater => Comparison::Greater,
                        Sign::GreaterEqual => Comparison::GreaterEqual,
                        _ => return Ok(left),
                    };
                    self.take()?;
                    self.compare(&left, comparison)?;
                }
                _ => return Ok(left),
            }
            left = Operand::Truth;
        }
    }

    fn search(&mut self, start: usize, search: Search, needle: String, not: bool) -> Parsed<()> {
        let op = if needle.is_empty() {
            // Java quirk: nothing contains an empty text, nor does not contain it; the value is
            // not looked at (the rows of `sql92.tsv` with an empty string behind CONTAINS).
            self.ops.truncate(start);
            Op::Constant(Constant::Bool(false))
        } else {
            Op::Search(search, Box::new(Finder::new(&needle).into_owned()), not)
        };
        self.emit(op).map(|_| ())
    }

    fn compare(&mut self, left: &Operand, comparison: Comparison) -> Parsed<()> {
        // An unknown left value decides before the right one is looked at.
        let unknown = self.emit(Op::JumpIfNull(0))?;
        let right = self.unary()?;
        self.check_number(left)?;
        self.check_number(&right)?;
        self.emit(Op::Compare(comparison))?;
        self.land(unknown);
        Ok(())
    }

    fn between(&mut self, value: &Operand, not: bool) -> Parsed<()> {
        let range = if not { Range::NotBetween } else { Range::Between };
        let unknown = self.emit(Op::JumpIfNull(0))?;
        let low = self.unary()?;
        let decided = self.emit(Op::Low(range, 0))?;
        self.expect(Token::Word(Word::And), "AND expected")?;
        let high = self.unary()?;
        for operand in [value, &low, &high] {
            self.check_number(operand)?;
        }
        // Java quirk: only BETWEEN looks at its bounds, NOT BETWEEN takes them in any order.
        if let (Operand::Constant(low), Operand::Constant(high)) = (&low, &high)
            && !not
            && order_of_constants(low, high).is_gt()
        {
            return self.fail("the lower bound of BETWEEN is above the upper one");
        }
        self.emit(Op::High(range))?;
        self.land(decided);
        self.land(unknown);
        Ok(())
    }

    fn list(&mut self, left: &Operand, not: bool) -> Parsed<()> {
        self.expect(Token::Sign(Sign::Open), "( expected")?;
        let mut items: Vec<Box<[u8]>> = vec![self.text()?.into_bytes().into()];
        while self.accept(Token::Sign(Sign::Comma))? {
            items.push(self.text()?.into_bytes().into());
        }
        self.expect(Token::Sign(Sign::Close), ") expected")?;
        if !matches!(left, Operand::Property) {
            return self.fail("IN needs a property on its left");
        }
        items.sort_unstable();
        items.dedup();
        self.emit(Op::In(items.into(), not))?;
        Ok(())
    }

    fn unary(&mut self) -> Parsed<Operand> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail("the expression is nested too deeply");
        }
        let operand = match self.peek()? {
            Token::Sign(Sign::Plus) => {
                self.take()?;
                self.unary()?
            }
            Token::Sign(Sign::Minus) => {
                self.take()?;
                self.unary()?;
                self.emit(Op::Negate)?;
                Operand::Negated
            }
            Token::Word(Word::Not) => {
                self.take()?;
                let operand = self.unary()?;
                self.truth(&operand)?;
                self.emit(Op::Not)?;
                Operand::Truth
            }
            _ => self.primary()?,
        };
        self.depth -= 1;
        Ok(operand)
    }

    fn primary(&mut self) -> Parsed<Operand> {
        let constant = match self.take()? {
            Token::Name(name) => {
                self.property(name)?;
                return Ok(Operand::Property);
            }
            Token::Sign(Sign::Open) => {
                let operand = self.or()?;
                self.expect(Token::Sign(Sign::Close), ") expected")?;
                return Ok(operand);
            }
            Token::Text(text) => Constant::Text(unquoted(text).into()),
            Token::Whole(digits) => match number::whole(digits.as_bytes()) {
                Some(number) => i32::try_from(number).map_or(Constant::Long(number), Constant::Int),
                None => return self.fail("the number does not fit into 64 bits"),
            },
            Token::Real(text) => match number::real(text.as_bytes()) {
                // Java quirk: 0.0 is below the smallest double there is (the row of `sql92.tsv`
                // with `0.0`).
                Some(number) if number > 0.0 && number.is_finite() => Constant::Double(number),
                _ => return self.fail("the number is out of range"),
            },
            Token::Word(Word::True) => Constant::Bool(true),
            Token::Word(Word::False) => Constant::Bool(false),
            Token::Word(Word::Null) => Constant::Null,
            _ => return self.fail("a value expected"),
        };
        self.emit(Op::Constant(constant.clone()))?;
        Ok(Operand::Constant(constant))
    }

    fn property(&mut self, name: &'a str) -> Parsed<()> {
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        // Invariant: not more names than operations.
        self.emit(Op::Property(index as u16))?;
        Ok(())
    }

    /// Makes a truth value of the operand on top.
    fn truth(&mut self, operand: &Operand) -> Parsed<()> {
        match operand {
            Operand::Truth | Operand::Constant(Constant::Bool(_) | Constant::Null) => Ok(()),
            Operand::Property => self.emit(Op::Cast).map(|_| ()),
            Operand::Constant(_) | Operand::Negated => self.fail("a truth value expected"),
        }
    }

    fn check_number(&self, operand: &Operand) -> Parsed<()> {
        use Constant::{Double, Int, Long};
        match operand {
            Operand::Constant(Int(_) | Long(_) | Double(_)) => Ok(()),
            Operand::Property | Operand::Negated => Ok(()),
            Operand::Constant(_) | Operand::Truth => self.fail("only numbers are more or less"),
        }
    }

    fn check_equal(&self, left: &Operand, right: &Operand) -> Parsed<()> {
        use Constant::{Bool, Null};
        match (left, right) {
            (Operand::Constant(Null), _) | (_, Operand::Constant(Null)) => {
                self.fail("NULL equals nothing, IS NULL asks for it")
            }
            (Operand::Constant(Bool(_)), Operand::Constant(Bool(_))) => Ok(()),
            // Java quirk: the other way round is taken (the rows of `sql92.tsv` with `1 = TRUE`).
            (Operand::Constant(Bool(_)), Operand::Constant(_)) => {
                self.fail("a truth value equals no other literal")
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self) -> Parsed<String> {
        match self.take()? {
            Token::Text(text) => Ok(unquoted(text)),
            _ => self.fail("a string expected"),
        }
    }

    fn skip_operator(&mut self, not: bool) -> Parsed<()> {
        if not {
            self.take()?;
        }
        self.take().map(|_| ())
    }

    fn emit(&mut self, op: Op) -> Parsed<usize> {
        if self.ops.len() == OPS_MAX {
            return self.fail("the expression is too complex");
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    /// Lets a jump go to behind the last operation.
    fn land(&mut self, jump: usize) {
        let end = self.ops.len();
        if let Some(Op::JumpIf(_, over) | Op::JumpIfNull(over) | Op::Low(_, over)) =
            self.ops.get_mut(jump)
        {
            *over = end - jump - 1;
        }
    }

    fn program(self) -> Program {
        let mut order: Vec<u16> = (0..self.names.len() as u16).collect();
        order.sort_unstable_by_key(|index| self.names[usize::from(*index)]);
        let mut places = vec![0; order.len()];
        for (place, index) in order.iter().enumerate() {
            places[usize::from(*index)] = place as u16;
        }
        let mut ops = self.ops;
        for op in &mut ops {
            if let Op::Property(index) = op {
                *index = places[usize::from(*index)];
            }
        }
        let names = order.iter().map(|index| self.names[usize::from(*index)]);
        Program { names: Names::new(names), ops: ops.into() }
    }

    fn peek(&mut self) -> Parsed<Token<'a>> {
        match self.ahead {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next()?;
                self.ahead = Some(token);
                Ok(token)
            }
        }
    }

    fn peek_beyond(&mut self) -> Parsed<Token<'a>> {
        self.peek()?;
        match self.beyond {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next()?;
                self.beyond = Some(token);
                Ok(token)
            }
        }
    }

    fn take(&mut self) -> Parsed<Token<'a>> {
        let token = self.peek()?;
        self.ahead = self.beyond.take();
        Ok(token)
    }

    fn accept(&mut self, token: Token<'_>) -> Parsed<bool> {
        let found = self.peek()? == token;
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn expect(&mut self, token: Token<'_>, reason: &'static str) -> Parsed<()> {
        if self.accept(token)? { Ok(()) } else { self.fail(reason) }
    }

    fn fail<T>(&self, reason: &'static str) -> Parsed<T> {
        Err(SqlError { at: self.lexer.at(), reason })
    }
}

/// The content of a string literal.
fn unquoted(text: &str) -> String {
    text.replace("''", "'")
}
